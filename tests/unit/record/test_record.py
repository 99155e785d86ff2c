"""A record gives back what was put in, resumes, and refuses what is not its own."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from sae_audit import load_run
from sae_audit.config import AuditConfig, PromptSettings
from sae_audit.errors import AuditError
from sae_audit.findings import AbsenceKind, MinimalSet
from sae_audit.findings.stages import MINIMAL_SETS
from sae_audit.record.findings_file import schema
from sae_audit.record.folder import begin
from sae_audit.record.identity import RunIdentity, run_identity
from sae_audit.record.store import Spent, Store
from tests.synthetic.findings import A, B, minimal, qualities
from tests.synthetic.runs import IDENTITY, synthetic_run

CONFIG = AuditConfig(model="m", saes="s", prompts=PromptSettings(sources=("p",)))


def put(store: Store, key: str, value: MinimalSet) -> None:
    store.put(MINIMAL_SETS, key, value, Spent(forward_passes=3, tokens=30, seconds=0.5))


def test_what_is_put_comes_back_equal(tmp_path: Path):
    store = Store(tmp_path / "run.sqlite")
    put(store, "p1", minimal("p1", A, B))
    assert store.get(MINIMAL_SETS, "p1") == minimal("p1", A, B)
    assert store.get(MINIMAL_SETS, "p2") is None


def test_a_killed_run_keeps_every_finished_row(tmp_path: Path):
    store = Store(tmp_path / "run.sqlite")
    put(store, "p1", minimal("p1", A))
    del store  # no close: as if the process had died here
    assert len(Store(tmp_path / "run.sqlite").all(MINIMAL_SETS)) == 1


def test_costs_add_up_by_stage(tmp_path: Path):
    store = Store(tmp_path / "run.sqlite")
    put(store, "p1", minimal("p1", A))
    put(store, "p2", minimal("p2", B))
    (cost,) = store.costs()
    assert (cost.forward_passes, cost.tokens, cost.seconds) == (6, 60, 1.0)


def test_identity_ignores_speed_and_captions_and_nothing_else():
    def of(version: str = "1", prompts: str = "hash", **changes: object) -> str:
        config = CONFIG.model_copy(update=changes)
        return run_identity(config, version, {"prompts": prompts}).sha256

    assert of() == of(tokens_per_batch=64) == of(name="other")
    assert of() != of(seed=1)
    assert of() != of(clamp=-1.0)
    assert of() != of(version="2")
    assert of() != of(prompts="other")


def test_a_difference_is_named():
    def of(prompts: str = "hash", **changes: object) -> RunIdentity:
        config = CONFIG.model_copy(update=changes)
        return run_identity(config, "1", {"prompts": prompts, "SAE configs": ["a"]})

    assert of(seed=1, dtype="float32").difference(of().as_json) == "settings (dtype, seed)"
    assert of(prompts="new").difference(of().as_json) == "prompts"
    assert of().difference(of().as_json.replace('["a"]', '["b"]')) == "SAE configs"
    assert of().difference("no JSON") != ""


class TestRun:
    def test_findings_obey_the_published_schema(self, tmp_path: Path):
        run = synthetic_run(tmp_path / "run", found={"sae_quality": [qualities(None, 0.9625)]})
        found = json.loads((tmp_path / "run" / "findings.json").read_text())
        Draft202012Validator(json.loads(schema())).validate(found)
        assert found["schema_version"] == 2
        first = run.quality[0].explained_variance_without_bos
        assert found["sae_quality"][0]["explained_variance_without_bos"]["low"] == first.low
        assert found["sae_quality"][0]["ce_recovered"] is None
        assert found["sae_quality"][1]["ce_recovered"]["value"] == 0.9625
        revisions = [sae.revision for sae in run.manifest.saes]
        assert [sae["revision"] for sae in found["saes"]] == revisions
        assert found["minimal_sets"][0]["features"] == [[1, 3], [2, 5]]
        assert found["minimal_sets"][0]["certified"] is True
        without = run.minimal_sets[0].score_without
        assert found["minimal_sets"][0]["score_without"] == {str(f): s for f, s in without.items()}
        family = [one["features"] for one in found["minimal_set_families"][0]["sets"]]
        assert family == [[[1, 3], [2, 5]], [[1, 3], [2, 8]]]
        assert found["minimal_set_families"][0]["core"] == [[1, 3]]
        assert found["minimal_set_families"][0]["replaceable"] == [[2, 5], [2, 8]]
        assert (found["flip_scales"][0]["scale"], found["flip_scales"][0]["scale_below"]) == (
            0.5,
            0.484375,
        )
        assert found["flip_scales"][0]["score"] < 0.0 <= found["flip_scales"][0]["score_below"]
        assert found["interactions"]["pairs"][0]["kind"] == "redundant"
        assert found["cascades"][0]["depth"] == 2

    def test_what_could_not_be_flipped_is_listed_with_its_reason(self, tmp_path: Path):
        run = synthetic_run(tmp_path / "run", flipped=False)
        assert all(not found.flipped and found.reason for found in run.findings.minimal_sets)
        assert run.pooled_set is None
        assert run.findings.interactions is None
        assert run.findings.minimal_set_families == []
        assert [(one.scale, one.scale_below) for one in run.findings.flip_scales] == [
            (None, 2.0)
        ] * 2

    @pytest.mark.parametrize(
        "table",
        [
            *("scores", "saes", "directions", "direction_check", "successive_directions"),
            *("coverage", "candidates"),
            *("minimal_sets", "minimal_set_families", "flip_scales", "pairs", "waves", "costs"),
            "features",
        ],
    )
    def test_tables_have_a_row_a_case(self, tmp_path: Path, table: str):
        assert len(synthetic_run(tmp_path / "run").table(table)) > 0

    def test_the_table_of_saes_says_how_well_each_layer_is_described(self, tmp_path: Path):
        some, undefined = qualities(None, 0.9625), qualities(None, None)
        found = synthetic_run(tmp_path / "some", found={"sae_quality": [some]}).table("saes")
        assert list(found.layer) == [1, 2]
        for name in ("explained_variance_without_bos", "explained_variance_rotated", "l0"):
            for part, end in (("value", ""), ("low", "_low"), ("high", "_high")):
                expected = [getattr(getattr(one, name), part) for one in some]
                assert list(found[name + end]) == expected, name + end
        assert list(found.ce_recovered.isna()) == [True, False]
        none = synthetic_run(tmp_path / "none", found={"sae_quality": [undefined]}).table("saes")
        assert none.ce_recovered.dtype == float
        assert list(none.columns) == list(found.columns)
        assert none.ce_recovered_low.dtype == float
        measured = ("l0", "ce_recovered", "explained_variance", "explained_variance_without_bos")
        assert set(found.columns) == {
            *("layer", "release", "id", "width"),
            *(
                name + end
                for name in (*measured, "explained_variance_rotated", "ce_recovered_rotated")
                for end in ("", "_low", "_high")
            ),
        }

    def test_the_check_of_the_direction_is_published(self, tmp_path: Path):
        run = synthetic_run(tmp_path / "run")
        assert run.findings.direction_check == run.direction_check
        assert run.findings.successive_directions == run.successive_directions
        assert run.direction_check is not None
        assert run.successive_directions is not None
        refused = [one.refused.own.value for one in run.successive_directions.directions]
        assert list(run.table("successive_directions").refused) == refused
        assert run.findings.sae_coverage == run.sae_coverage
        found = run.table("direction_check").set_index("measure")
        flipped = run.direction_check.flipped
        expected = [flipped.own.value, flipped.random.mean]
        assert list(found.loc["flipped", ["value", "random_mean"]]) == expected
        coverage = run.table("coverage").set_index("layer")
        assert list(coverage.in_reconstruction.isna()) == [True, False]

    def test_an_unknown_table_names_the_known(self, tmp_path: Path):
        with pytest.raises(AuditError, match="minimal_sets"):
            synthetic_run(tmp_path / "run").table("sets")

    def test_it_shows_itself_in_a_notebook(self, tmp_path: Path):
        run = synthetic_run(tmp_path / "run", facts={"model": "<b>tiny</b>"})
        assert "&lt;b&gt;tiny" in run._repr_html_()

    @pytest.mark.parametrize("lost", ["tensors", "tensors/means.safetensors"])
    def test_a_folder_without_its_tensors_is_said_to_lack_them(self, tmp_path: Path, lost: str):
        folder = synthetic_run(tmp_path / "run").folder
        (folder / lost).rename(tmp_path / "elsewhere")
        with pytest.raises(AuditError, match=r"lacks tensors/\w+.safetensors.*whole folder"):
            load_run(folder)

    def test_no_run_and_an_unfinished_one_are_told_apart(self, tmp_path: Path):
        with pytest.raises(AuditError, match="holds no audit"):
            load_run(tmp_path)
        begin(tmp_path / "run", CONFIG, IDENTITY, "command").close()
        with pytest.raises(AuditError, match="not finished"):
            load_run(tmp_path / "run")


class TestWithoutAMechanism:
    EARLY = tuple(kind for kind in AbsenceKind if kind.early)

    @pytest.mark.parametrize("kind", EARLY, ids=str)
    def test_what_was_not_looked_for_is_empty_and_the_reason_is_there(
        self, tmp_path: Path, kind: AbsenceKind
    ):
        synthetic_run(tmp_path / "run", absent=kind)
        run = load_run(tmp_path / "run")
        assert run.absence is not None
        assert run.absence.kind is kind
        assert (run.minimal_sets, run.interactions, run.cascades) == ([], [], [])
        assert (run.pooled_set, run.search_null) == (None, None)
        assert run.controls.per_prompt == ()
        with pytest.raises(AuditError, match=f"no candidates \\({kind.value}\\): Of 4 prompts"):
            _ = run.candidates
        with pytest.raises(AuditError, match="no refusal direction"):
            _ = run.direction
        assert "Of 4 prompts 0 say so." in run._repr_html_()

    @pytest.mark.parametrize("kind", AbsenceKind, ids=str)
    def test_findings_say_it_within_the_schema(self, tmp_path: Path, kind: AbsenceKind):
        run = synthetic_run(tmp_path / "run", absent=kind)
        written = json.loads((run.folder / "findings.json").read_text())
        Draft202012Validator(json.loads(schema())).validate(written)
        assert written["absence"]["kind"] == kind.value
        assert (written["direction"] is None) == kind.early
        assert written["behaviour"]["separation"]["value"] == 1.0

    def test_tables_have_their_columns_without_a_row(self, tmp_path: Path):
        run = synthetic_run(tmp_path / "run", absent=AbsenceKind.NO_REFUSAL)
        whole = synthetic_run(tmp_path / "whole")
        for name in ("directions", "candidates", "minimal_sets", "pairs", "waves", "features"):
            assert run.table(name).empty
            assert list(run.table(name)) == list(whole.table(name)), name

    def test_directions_that_were_discarded_are_a_table(self, tmp_path: Path):
        run = synthetic_run(tmp_path / "run", absent=AbsenceKind.NO_DIRECTION)
        assert len(run.table("directions")) == 8
        assert not run.table("directions").selected.any()


def test_sets_found_by_chance_stand_beside_the_minimal_ones(tmp_path: Path):
    run = synthetic_run(tmp_path / "run")
    assert run.search_null is not None
    assert (run.search_null.statistic, run.search_null.p_value) == (2.5, 1 / 50)
    assert run.search_null.n_flipped_by_pools == (0,) * 49
    assert run.findings.search_null == run.search_null
    assert list(run.table("minimal_sets").n_pools_flipping) == [0, 0]
