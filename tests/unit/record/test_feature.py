"""One feature of a run: its counts, its neighbours, and the words for them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sae_audit import load_run
from sae_audit.errors import AuditError
from sae_audit.findings import EdgeKind, Estimate, PairKind
from sae_audit.record.feature import as_data
from sae_audit.record.feature_words import NO_RANDOM, effect_rows, headline, sentences, span
from sae_audit.record.run import Run
from sae_audit.statistics import share
from sae_audit.vocabulary import FeatureId
from tests.synthetic.findings import (
    A,
    B,
    C,
    feature_effect,
    feature_profile,
    minimal,
    prompt_scores,
)
from tests.synthetic.runs import synthetic_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return load_run(synthetic_run(tmp_path_factory.mktemp("run") / "run").folder)


def test_it_holds_what_each_finding_says_of_it(run: Run):
    found = run.feature("L1/3")
    assert found.feature == A
    assert (found.rank, found.n_named, found.n_refused, found.n_flipped) == (2, 3, 2, 2)
    assert (found.previous, found.following) == (B, C)
    assert found.candidate is not None
    assert (found.candidate.cosine, found.place_by_cosine, found.n_candidates) == (0.53, 1, 3)
    assert found.effect_on_harmless is not None
    assert run.feature_profiles is not None
    assert found.profile == run.feature_profiles.features[0]
    (partner,) = found.partners
    assert (partner.feature, partner.kind, partner.n_redundant) == (B, PairKind.REDUNDANT, 1)
    assert found.pooled_without == 0.0
    assert (found.n_families, found.n_replaced) == (2, 0), "A is in both sets of each family"
    (wakes,) = found.wakes
    assert (wakes.feature, wakes.n_prompts, wakes.kinds) == (B, 2, {EdgeKind.DIRECT: 2})
    assert (wakes.n_controls_waking, wakes.n_controls) == (4, 14)
    assert [one.feature for one in run.feature("L2/5").woken_by] == [A]


def test_what_no_finding_names_is_a_feature_all_the_same(run: Run):
    found = run.feature(FeatureId(2, 700))
    assert (found.mention, found.rank, found.profile, found.partners) == (None, None, None, ())
    assert found.verdict == "No finding names it"


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("L3/1", r"in layer 3, and the run audited layers 1, 2"),
        ("L1/1025", r"beyond the SAE of layer 1, which has 1025 features"),
        ("L1-3", r"'L1-3' is no feature id; it looks like L16/25312"),
        ("L1/3\x1b[2J", "is no feature id"),
    ],
)
def test_no_such_feature_is_one_sentence(run: Run, name: str, complaint: str):
    with pytest.raises(AuditError, match=complaint):
        run.feature(name)


def test_in_a_notebook_it_shows_itself_and_no_markup_of_others(run: Run):
    run.features.explanations[A] = "<script>alert(1)</script>"
    try:
        shown = run.feature("L1/3")._repr_html_()
    finally:
        run.features.explanations.clear()
    assert "In the set that ends the refusal, on all 2 prompts" in shown
    assert "<td>3 of 9 answered</td>" in shown
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_all_of_a_run_show_themselves_by_importance(run: Run):
    shown = run.features._repr_html_()
    places = [shown.index(f"<th>{one.feature}</th>") for one in run.features.named]
    assert places == sorted(places)


def test_their_table_has_the_records_numbers(run: Run):
    rows: dict[str, dict[Any, Any]] = {
        str(row["feature"]): row for row in run.table("features").to_dict("records")
    }
    assert list(rows) == [str(one.feature) for one in run.features.named]
    profile = run.feature("L1/3").profile
    assert profile is not None
    assert profile.spared is not None
    row = rows["L1/3"]
    assert (row["n_minimal"], row["in_pooled"], row["cosine"]) == (2, True, 0.53)
    assert row["alone_turned"] == pytest.approx(3 / 9)
    assert row["alone_turned_high"] == profile.alone.turned.high
    assert row["spared_score_change_random_low"] == pytest.approx(
        profile.spared.score_change_random.low if profile.spared.score_change_random else None
    )
    assert np.isnan(rows["L2/8"]["alone_turned"]), "named, and not measured"


def test_as_data_it_is_json_with_its_words(run: Run):
    data = json.loads(json.dumps(as_data(run.feature("L1/3"))))
    assert data["id"] == "L1/3"
    assert data["feature"] == [1, 3]
    assert data["verdict"] == run.feature("L1/3").verdict
    assert data["profile"]["alone"]["turned"]["n"] == 9
    assert data["partners"][0]["feature"] == [2, 5]


def test_its_page_on_neuronpedia_is_known_from_the_catalog(run: Run):
    found = run.feature("L1/3")
    assert found.neuronpedia == "", "an SAE that no catalog has"
    known = replace(
        found,
        sae=found.sae.model_copy(
            update={
                "release": "gemma-scope-2b-pt-res-canonical",
                "id": "layer_1/width_16k/canonical",
            }
        ),
    )
    assert known.neuronpedia == "https://www.neuronpedia.org/gemma-2-2b/1-gemmascope-res-16k/3"
    other = replace(
        found,
        sae=known.sae.model_copy(update={"id": "layer_1/width_16k/average_l0_20"}),
    )
    assert other.neuronpedia == "", "another sparsity is another SAE"


class TestWords:
    PROFILE = feature_profile(A, prompt_scores([1.0, 2.0], [-1.0]))

    def said(self, **changed: object) -> tuple[str, ...]:
        profile = replace(self.PROFILE, **changed)
        return sentences(profile, n_families=0, n_replaced=0, pooled_without=None)

    def test_alone_in_counts_and_one_interval(self):
        assert self.said()[0] == (
            "Switched off alone, it ends 3 of 9 refusals (95% interval: 12% to 65%); random features "
            "like it end none."
        )
        none = feature_effect(0, 9, -0.5, n_random=1)
        assert self.said(alone=none)[0] == (
            "Switched off alone, it ends none of 9 refusals (95% interval: 0% to 30%); random "
            "features like it end 1 of 9."
        )

    def test_a_silent_one_does_nothing(self):
        silent = replace(
            feature_effect(0, 9, 0.0),
            score_change=Estimate(
                value=0.0, low=0.0, high=0.0, n=9, method="none: all cases alike"
            ),
        )
        assert self.said(alone=silent)[0].startswith("Switched off alone, it changes nothing on 9")

    def test_without_a_control_none_is_claimed(self):
        alone = replace(self.PROFILE.alone, turned_random=None, score_change_random=None)
        assert "random" not in self.said(alone=alone)[0]
        row = effect_rows(replace(self.PROFILE, alone=alone), 0.5)[0]
        assert row.random == row.change_random == NO_RANDOM

    def test_switched_on(self):
        assert "it makes 2 of 13 harmless prompts refused (4% to 42%)" in self.said()[1]
        assert len(self.said(raised=None)) == 1

    @pytest.mark.parametrize(
        ("n", "total", "expected"),
        [
            (5, 5, "It can be replaced: on all 5 prompts a set without it was found too."),
            (2, 5, "It can be replaced: on 2 of 5 prompts a set without it was found too."),
            (0, 5, "On none of these 5 prompts was a set without it found."),
            (1, 1, "On that prompt a set without it was found too."),
            (0, 1, "On that prompt no set without it was found."),
        ],
    )
    def test_replaced(self, n: int, total: int, expected: str):
        said = sentences(self.PROFILE, n_families=total, n_replaced=n, pooled_without=None)
        assert said[1] == expected

    def test_rows_name_what_was_done_and_what_turned(self):
        rows = effect_rows(self.PROFILE, 0.5)
        assert [(one.name, one.turned, one.interval, one.random) for one in rows] == [
            ("Switched off alone", "3 of 9 answered", "12% to 65%", "0 of 9 (0% to 30%)"),
            ("Turned down by 50%, alone", "1 of 9 answered", "2% to 43%", "0 of 9 (0% to 30%)"),
            (
                "Kept on, the rest of its set off",
                "7 of 7 refused again",
                "65% to 100%",
                "6 of 7 (49% to 97%)",
            ),
            (
                "Switched on in harmless prompts",
                "2 of 13 refused",
                "4% to 42%",
                "1 of 13 (1% to 33%)",
            ),
        ]
        assert rows[0].change == f"-2.30 ({span(self.PROFILE.alone.score_change, percent=False)})"

    def test_no_interval_has_its_reason(self):
        few = Estimate(value=0.5, low=0, high=1, n=2, method="none: fewer than 5 cases")
        assert span(few) == "fewer than 5 cases"
        assert span(share(7, 40)) == "9% to 32%"

    def test_headlines_say_the_first_thing_that_is_so(self, run: Run):
        mention = run.feature("L1/3").mention
        assert mention is not None

        def of(**changed: object) -> str:
            return headline(replace(mention, **changed), n_flipped=5, n_refused=6)

        none = dict.fromkeys(
            ("n_minimal", "n_text", "n_families", "n_waves", "n_pairs", "n_edges", "n_unlimited"), 0
        ) | {"in_pooled": False}
        assert of(n_minimal=5) == "In the set that ends the refusal, on all 5 prompts"
        assert of(n_minimal=2) == "In the set that ends the refusal, on 2 of 5 prompts"
        assert of(**none | {"in_pooled": True}).startswith("In the set that ends many")
        assert of(**none | {"n_text": 3}).endswith("on 3 of 6 prompts")
        assert of(**none | {"n_families": 4}) == "In another set that would do, on 4 of 5 prompts"
        assert of(**none | {"n_waves": 1}).startswith("Wakes and joins in once others are off")
        assert of(**none | {"n_pairs": 1}).startswith("Acts together with other features")
        assert of(**none | {"n_edges": 1}).startswith("Wakes others")
        assert of(**none | {"n_unlimited": 2}).endswith("too much, on 2 of 6 prompts")
        assert of(**none).startswith("Fires in the first wave")


def test_a_run_that_flips_nothing_names_none(tmp_path: Path):
    run = synthetic_run(tmp_path / "run", flipped=False, graphs=[], cascades=[])
    assert run.features.named == []
    assert run.feature_profiles is None
    assert run.feature("L1/3").verdict == "No finding names it"


def test_importance_is_by_sets_first(tmp_path: Path):
    scores = prompt_scores([4.0, 3.0, 3.5], [-5.0])
    sets = [minimal("p0", C), minimal("p1", C), minimal("p2", A, C)]
    run = synthetic_run(tmp_path / "run", scores=scores, minimal_sets=sets)
    order = [one.feature for one in run.features.named]
    assert order[:2] == [C, A]
    assert run.feature("L2/8").mention == run.features.named[0]
