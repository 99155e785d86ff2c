"""The bench's measures, worked by hand, and how its rows are kept and summarised."""

from pathlib import Path

import pytest

from sae_audit.bench.cases import Case, cases
from sae_audit.bench.measures import nearest, waves_match
from sae_audit.bench.results import Row, kind_of_sae, summarised
from sae_audit.bench.stored import StoredRows
from sae_audit.errors import AuditError
from sae_audit.vocabulary import FeatureId

A, B, C, D = (FeatureId(0, i) for i in range(4))


def case(family: str = "parallel", seed: int = 0) -> Case:
    return Case(family=family, size=2, seed=seed, architecture="llama")


def row(value: float | None, *, method: str = "ours", of: Case | None = None) -> Row:
    return Row(
        stage="minimal sets",
        method=method,
        case=of or case(),
        measures={"exact": value},
        n_prompts=4,
        n_sets_scored=10.0,
        seconds=0.5,
    )


class TestNearest:
    def test_a_true_set_is_exact_whichever_it_is(self):
        true = [frozenset([A, B]), frozenset([C])]
        assert nearest(frozenset([C]), true).exact
        assert nearest(frozenset([A, B]), true).exact

    def test_precision_and_recall_are_of_the_nearest_set(self):
        found = nearest(frozenset([A, C, D]), [frozenset([A, B]), frozenset([C, D, B])])
        assert (found.exact, found.precision, found.recall) == (False, 2 / 3, 2 / 3)

    def test_finding_nothing_finds_nothing(self):
        found = nearest(frozenset(), [frozenset([A])])
        assert (found.exact, found.precision, found.recall) == (False, 0.0, 0.0)

    def test_without_a_truth_there_is_nothing_to_compare(self):
        with pytest.raises(AssertionError, match="no true set"):
            nearest(frozenset([A]), [])


class TestWaves:
    def test_the_right_features_in_the_wrong_wave_count_as_wrong(self):
        found = waves_match([[A, B]], [[A], [B]])
        assert (found.exact, found.depth_error) == (False, -1)
        assert found.f1 == pytest.approx(0.5), "(A, 0) of two found and two true"

    def test_the_order_within_a_wave_does_not_matter(self):
        assert waves_match([[B, A], [C]], [[A, B], [C]]).exact


class TestCases:
    def test_every_family_stands_in_a_quick_bench_once(self):
        found = cases([], n_seeds=3, quick=True)
        assert len({one.family for one in found}) == len(found) > 10
        assert {one.architecture for one in found} == {"llama", "gemma2"}

    def test_an_unknown_family_is_named_with_those_there_are(self):
        with pytest.raises(AuditError, match=r"No planted family 'voting'; there are .*votes"):
            cases(["voting"], n_seeds=1, quick=True)


class TestSummaries:
    def test_means_are_over_models_that_have_the_measure(self):
        rows = [row(1.0), row(0.0, of=case(seed=1)), row(None, of=case(seed=2))]
        (found,) = summarised(rows, kind_of_sae)
        exact = found.measures["exact"]
        assert exact is not None
        assert (exact.value, exact.n) == (0.5, 2)

    def test_no_model_has_it(self):
        assert summarised([row(None)], kind_of_sae)[0].measures["exact"] is None

    def test_imperfect_saes_are_kept_apart(self):
        rows = [row(1.0), row(0.0, of=case("imperfect"))]
        assert [one.group for one in summarised(rows, kind_of_sae)] == [
            "perfect SAE",
            "imperfect SAE",
        ]


class TestStored:
    def test_a_finished_model_is_not_run_again(self, tmp_path: Path):
        def never() -> list[Row]:
            raise AssertionError("computed again")

        first = StoredRows(tmp_path, n_prompts=4).remembered(case(), lambda: [row(1.0)])
        assert StoredRows(tmp_path, n_prompts=4).remembered(case(), never) == first

    def test_rows_of_other_settings_or_code_are_not_read(self, tmp_path: Path):
        StoredRows(tmp_path, n_prompts=4).remembered(case(), lambda: [row(1.0)])
        found = StoredRows(tmp_path, n_prompts=5).remembered(case(), lambda: [row(0.0)])
        assert found[0].measures["exact"] == 0.0

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", '{"identity": 1}', '{"identity": null, "rows": 3}']
    )
    def test_a_file_that_holds_no_rows_is_computed_anew(self, tmp_path: Path, text: str):
        StoredRows(tmp_path, n_prompts=4).remembered(case(), lambda: [row(1.0)])
        (file,) = tmp_path.glob("*.json")
        file.write_text(text)
        found = StoredRows(tmp_path, n_prompts=4).remembered(case(), lambda: [row(0.0)])
        assert found[0].measures["exact"] == 0.0
