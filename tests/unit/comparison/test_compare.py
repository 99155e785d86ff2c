"""Comparisons with known answers, and their negative control: a run against itself."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sae_audit import compare
from sae_audit.comparison.page import render, write_comparison
from sae_audit.comparison.types import Change
from sae_audit.errors import AuditError
from sae_audit.findings import AbsenceKind, SuccessiveDirections
from sae_audit.record.folder import write_tensors
from sae_audit.record.run import Run, load_run
from sae_audit.record.tensors import read_tensors
from sae_audit.vocabulary import FeatureId
from tests.synthetic.findings import A, B, C, cascade, minimal, prompt_scores
from tests.synthetic.runs import D_MODEL, N_LAYERS, N_TEMPLATE, synthetic_run
from tests.unit.comparison.decided import lookalike_scores

TEN = [5.0] * 10
HARMLESS = [-6.0] * 10


def pair(folder: Path, b_scores: list[float], **options):
    a = synthetic_run(folder / "a", scores=prompt_scores(TEN, HARMLESS), **options)
    b = synthetic_run(folder / "b", scores=prompt_scores(b_scores, HARMLESS), **options)
    return a, b


def test_a_run_against_itself_claims_nothing(tmp_path: Path):
    a, b = pair(tmp_path, TEN)
    found = compare(a, b)
    assert {verdict.kind for verdict in found.verdicts} == {
        Change.UNCHANGED,
        Change.DESCRIBED,
        Change.TOO_FEW,
    }
    assert found.behaviour[0].refused.difference.high > 0.1, "ten prompts rule out little"
    assert found.lost_refusal == found.gained_refusal == ()
    assert found.direction is not None
    assert found.direction.gap_ratio.value == pytest.approx(1.0)
    assert min(one.low for one in found.direction.cosines) == pytest.approx(1.0)
    assert found.features is not None
    assert found.features.overlap.value == 1.0


def test_refusal_lost_on_nine_of_ten_prompts(tmp_path: Path):
    a, b = pair(tmp_path, [5.0] + [-2.0] * 9)
    found = compare(a, b)
    harmful, harmless = found.behaviour
    assert harmful.refused.difference.value == pytest.approx(-0.9)
    assert harmful.refused.difference.high < 0.0
    assert harmful.score.difference.value == pytest.approx(-6.3)
    assert harmless.refused.difference.value == 0.0
    assert found.lost_refusal == tuple(f"p{i}" for i in range(1, 10))
    assert found.verdicts[0].kind == Change.LOST
    assert "-90 points" in found.verdicts[0].evidence


def test_what_is_significant_alone_is_none_among_eight_tests(tmp_path: Path):
    """Six switches of ten: p = 2/64, and one of eight tests."""
    a, b = pair(tmp_path, [5.0] * 4 + [-2.0] * 6)
    found = compare(a, b)
    (test,) = [one for one in found.tests if one.name == "share of harmful prompts refused"]
    assert test.p_value == pytest.approx(2 / 64)
    assert test.corrected_p is not None
    assert test.corrected_p > 0.05
    assert found.verdicts[0].kind == Change.UNCHANGED
    assert "Could have shown a change of" in found.verdicts[0].evidence


def test_swapping_the_runs_mirrors_the_differences(tmp_path: Path):
    a, b = pair(tmp_path, [5.0] * 6 + [-2.0] * 4)
    there, back = compare(a, b).behaviour[0], compare(b, a).behaviour[0]
    assert there.refused.difference.value == -back.refused.difference.value
    assert there.score.p_value == back.score.p_value


def test_prompts_that_all_switch_have_an_interval_and_are_a_claim(tmp_path: Path):
    a = synthetic_run(tmp_path / "a", scores=prompt_scores(TEN, HARMLESS))
    b = synthetic_run(tmp_path / "b", scores=prompt_scores(TEN, [6.0] * 10))
    (verdict,) = [v for v in compare(a, b).verdicts if "over-refusal" in v.statement]
    assert verdict.kind == Change.GAINED
    assert "+100 points [+44, +100]" in verdict.evidence


def test_look_alikes_of_both_are_compared_apart(tmp_path: Path):
    alike = ([False] * 10, [True] * 10)
    a, b = (
        synthetic_run(
            tmp_path / name,
            scores=[*prompt_scores(TEN, HARMLESS), *lookalike_scores(refused)],
        )
        for name, refused in zip("ab", alike, strict=True)
    )
    found = compare(a, b)
    (verdict,) = [v for v in found.verdicts if "safe look-alikes refused" in v.statement]
    assert verdict.kind == Change.GAINED
    assert set(found.gained_refusal) == {f"alike{i}" for i in range(10)}
    (change,) = [one for one in found.behaviour if one.label == "safe_lookalike"]
    assert (change.refused_a.value, change.refused_b.value, change.category) == (0.0, 1.0, "")
    page = render(found)
    assert "and\n10 safe look-alikes for both" in page
    assert "Safe look-alikes refused" in page
    assert [row[1] for row in found.scores].count("safe_lookalike") == 10
    # Without them in one of the two it is a comparison of the others.
    c = synthetic_run(tmp_path / "c", scores=prompt_scores(TEN, HARMLESS))
    fewer = compare(a, c)
    assert {one.label for one in fewer.behaviour} == {"harmful", "harmless"}
    assert any("audited, of 30" in said for said in fewer.caveats)


def test_one_prompt_more_or_less_is_no_claim(tmp_path: Path):
    a, b = pair(tmp_path, [5.0] * 9 + [-0.1])
    assert compare(a, b).verdicts[0].kind == Change.UNCHANGED


@pytest.mark.parametrize("degrees", [0.0, 60.0, 90.0])
def test_a_direction_turned_by_a_known_angle(tmp_path: Path, degrees: float):
    def means(angle: float, length: float = 1.0) -> dict[str, np.ndarray]:
        harmful = np.zeros((N_LAYERS, N_TEMPLATE, D_MODEL))
        harmful[..., 0], harmful[..., 1] = np.cos(angle) * length, np.sin(angle) * length
        return {"harmful": harmful, "harmless": np.zeros_like(harmful)}

    turned = means(np.radians(degrees), length=0.5)
    a = synthetic_run(tmp_path / "a", means=means(0.0))
    b = synthetic_run(tmp_path / "b", means=turned)
    found = compare(a, b).direction
    assert found is not None
    assert found.cosine.value == pytest.approx(np.cos(np.radians(degrees)), abs=1e-6)
    assert found.gap_ratio.value == pytest.approx(0.5 * np.cos(np.radians(degrees)), abs=1e-6)


class TestHowSureTheDirectionIs:
    """Training prompts that scatter: what another draw of them would say of the same direction."""

    def runs(self, folder: Path, *, scatter: float, seed: int = 0):
        """The variant's gap is a fifth smaller on every group, whatever the groups' scatter."""
        draws = np.random.default_rng(seed)
        shape = (10, N_LAYERS, N_TEMPLATE, D_MODEL)
        gap = np.zeros(D_MODEL)
        gap[0] = 10.0
        groups = gap + scatter * draws.normal(size=shape)
        apart = 0.8 * groups + scatter * draws.normal(size=shape)
        found = []
        for name, own in (("a", groups), ("b", apart)):
            means = {"harmful": own.mean(axis=0), "harmless": np.zeros(shape[1:])}
            run = synthetic_run(folder / name, means=means)
            by_group = {"harmful": own.astype(np.float32), "harmless": np.zeros(shape, np.float32)}
            counts = {f"n_{label}": np.full(10, 4) for label in means}
            write_tensors(run.folder, "means_by_group", by_group | counts)
            found.append(load_run(run.folder))
        return found

    def test_prompts_that_are_all_alike_leave_no_doubt(self, tmp_path: Path):
        found = compare(*self.runs(tmp_path, scatter=0.0)).direction
        assert found is not None
        ratio = found.gap_ratio
        assert (ratio.value, ratio.low, ratio.high) == pytest.approx((0.8, 0.8, 0.8), abs=1e-6)
        assert (ratio.n, ratio.method) == (80, "jackknife 95%, 10 groups")
        assert found.gap_random.highest == pytest.approx(0.0, abs=1e-6)

    def test_prompts_that_scatter_leave_an_interval_around_what_is_true(self, tmp_path: Path):
        found = compare(*self.runs(tmp_path, scatter=0.3)).direction
        assert found is not None
        assert 0.7 < found.gap_ratio.low < 0.8 < found.gap_ratio.high < 0.9
        assert found.cosine.low < found.cosine.value < 1.0
        assert found.gap_random.lowest < 0.0 < found.gap_random.highest

    def test_a_label_that_one_group_holds_whole_has_no_interval(self, tmp_path: Path):
        a, b = self.runs(tmp_path, scatter=0.3)
        tensors = read_tensors(b.folder, "means_by_group")
        write_tensors(
            b.folder, "means_by_group", tensors | {"n_harmless": np.eye(10, dtype=int)[0]}
        )
        found = compare(a, load_run(b.folder)).direction
        assert found is not None
        assert found.gap_ratio.method == "none: too few prompts to leave some out"
        stated = [verdict.statement for verdict in compare(a, load_run(b.folder)).verdicts]
        assert any("(too few prompts" in one for one in stated)


def test_minimal_sets_that_share_nothing_beside_sets_of_other_prompts(tmp_path: Path):
    other = FeatureId(2, 20)
    names = [f"p{i}" for i in range(10)]
    a = synthetic_run(
        tmp_path / "a",
        scores=prompt_scores(TEN, HARMLESS),
        minimal_sets=[minimal(name, A, B) for name in names],
    )
    b = synthetic_run(
        tmp_path / "b",
        scores=prompt_scores(TEN, HARMLESS),
        minimal_sets=[minimal(name, C, other, FeatureId(1, 1)) for name in names],
    )
    found = compare(a, b).features
    assert found is not None
    assert found.overlap.value == found.overlap_shuffled.value == 0.0
    assert found.size.difference.value == 1.0
    assert {shift.feature for shift in found.shifts} == {A, B, C, other, FeatureId(1, 1)}
    assert {abs(shift.difference.value) for shift in found.shifts} == {1.0}
    assert found.shift_under_null < 1.0
    assert found.beyond_shuffled_p == 1.0, "nothing is shared, own sets or others'"


def test_waves_gained_show_as_depth(tmp_path: Path):
    names = [f"p{i}" for i in range(10)]
    a = synthetic_run(
        tmp_path / "a",
        scores=prompt_scores(TEN, HARMLESS),
        cascades=[cascade(name, A) for name in names],
    )
    b = synthetic_run(
        tmp_path / "b",
        scores=prompt_scores(TEN, HARMLESS),
        cascades=[cascade(name, A, B, C) for name in names],
    )
    found = compare(a, b)
    assert found.cascades is not None
    assert found.cascades.depth.difference.value == 2.0
    assert any("Depth" in v.statement and v.kind == Change.HIGHER for v in found.verdicts)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"facts": {"sae_sha256": "other"}}, "different SAEs"),
        ({"facts": {"refusal_ids": (7, 8)}}, "different refusal tokens"),
        ({"clamp": -1.0}, "ablate differently"),
        ({"scores": prompt_scores([4, 3], [-5], ids="q")}, "different prompts"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path: Path, options: dict, complaint: str):
    a = synthetic_run(tmp_path / "a")
    b = synthetic_run(tmp_path / "b", **options)
    with pytest.raises(AuditError, match=complaint):
        compare(a, b)


def test_the_order_of_refusal_tokens_is_no_difference(tmp_path: Path):
    a = synthetic_run(tmp_path / "a", facts={"refusal_ids": (7, 8)})
    b = synthetic_run(tmp_path / "b", facts={"refusal_ids": (8, 7)})
    assert compare(a, b).verdicts


def read_by(run: Run, **changes: Any) -> Run:
    """The run with another readout in its manifest: by default the pair of tokens 7 and 8."""
    pair = {
        "kind": "token_pair",
        "tokens": [
            {"role": "declines", "id": 7, "text": "I"},
            {"role": "acts", "id": 8, "text": "<call>"},
        ],
    }
    known = {"readout": pair, "refusal_tokens": None, **changes}
    file = run.folder / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | known))
    return load_run(run.folder)


def test_runs_of_different_readouts_are_not_compared(tmp_path: Path):
    a, b = synthetic_run(tmp_path / "a"), read_by(synthetic_run(tmp_path / "b"))
    with pytest.raises(
        AuditError, match=r"different readouts, refusal_tokens \(.*\) and token_pair"
    ):
        compare(a, b)
    other = {
        "kind": "token_pair",
        "tokens": [
            {"role": "acts", "id": 7, "text": "I"},
            {"role": "declines", "id": 8, "text": "<call>"},
        ],
    }
    c = read_by(synthetic_run(tmp_path / "c"), readout=other)
    with pytest.raises(AuditError, match="audit both with the same"):
        compare(b, c)
    assert compare(b, read_by(synthetic_run(tmp_path / "d"))).caveats == ()


def test_different_thresholds_of_one_readout_are_a_caveat(tmp_path: Path):
    a = synthetic_run(tmp_path / "a")
    tokens = json.loads((a.folder / "manifest.json").read_text())["refusal_tokens"]
    b = read_by(
        synthetic_run(tmp_path / "b"),
        refusal_tokens=tokens,
        readout={"kind": "refusal_tokens", "threshold": 1.5},
    )
    (caveat,) = compare(a, b).caveats
    assert "different thresholds, 0 and 1.5 nats" in caveat


def test_other_settings_are_a_caveat(tmp_path: Path):
    a = synthetic_run(tmp_path / "a")
    b = synthetic_run(tmp_path / "b", candidates={"per_layer": 3})
    assert "candidates" in compare(a, b).caveats[0]


def test_a_comparison_is_written_and_foreign_files_are_not_touched(tmp_path: Path):
    found = compare(
        synthetic_run(tmp_path / "a", facts={"model": "<b>x</b>"}), synthetic_run(tmp_path / "b")
    )
    page = write_comparison(found, tmp_path / "out")
    assert write_comparison(found, tmp_path / "out") == page
    assert "&lt;b&gt;x" in page.read_text()
    assert "<b>x</b>" not in page.read_text()
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())["verdicts"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(AuditError, match="holds something else"):
        write_comparison(found, tmp_path / "mine")
    assert len(found.table()) == len(found.verdicts)


def test_a_comparison_that_was_stopped_is_written_again(tmp_path: Path):
    found = compare(synthetic_run(tmp_path / "a"), synthetic_run(tmp_path / "b"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".comparison.json.tmp").write_text("{")
    assert write_comparison(found, tmp_path / "out").is_file()
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a file system that makes no folders")
def test_a_folder_that_cannot_be_made_is_bad_input(tmp_path: Path):
    found = compare(synthetic_run(tmp_path / "a"), synthetic_run(tmp_path / "b"))
    with pytest.raises(AuditError, match="cannot be made; name another folder"):
        write_comparison(found, "/proc/comparison")


class TestWhereOneHasNoMechanism:
    def one_without(self, folder: Path, kind: AbsenceKind, b_scores: list[float]):
        a = synthetic_run(folder / "a", scores=prompt_scores(TEN, HARMLESS))
        b = synthetic_run(folder / "b", scores=prompt_scores(b_scores, HARMLESS), absent=kind)
        return a, b

    def test_refusal_that_was_removed_is_lost_and_what_is_missing_is_said(self, tmp_path: Path):
        a, b = self.one_without(tmp_path, AbsenceKind.NO_REFUSAL, [-3.0] * 10)
        found = compare(a, b)
        first = found.verdicts[0]
        assert first.kind is Change.LOST
        assert "parent: refusal tied to harm. The variant: no mechanism: the model does not" in (
            first.statement
        )
        assert "Variant: Of 4 prompts 0 say so." in first.evidence
        assert "cascades are missing of the variant" in first.evidence
        assert found.direction is not None
        assert found.direction.chosen_in == "parent"
        assert (found.features, found.cascades, found.b.layer) == (None, None, None)
        assert any("all its training prompts" in caveat for caveat in found.caveats)
        page = write_comparison(found, tmp_path / "both").read_text()
        assert "no mechanism: the model does not refuse" in page
        written = json.loads((tmp_path / "both" / "comparison.json").read_text())
        assert written["b"]["absence"]["kind"] == "no_refusal"

    def test_the_other_way_round_it_is_gained(self, tmp_path: Path):
        a, b = self.one_without(tmp_path, AbsenceKind.NO_REFUSAL, [-3.0] * 10)
        found = compare(b, a)
        assert found.verdicts[0].kind is Change.GAINED
        assert found.direction is not None
        assert found.direction.chosen_in == "variant"

    @pytest.mark.parametrize(
        "kind",
        sorted(set(AbsenceKind) - {AbsenceKind.NO_REFUSAL, AbsenceKind.UNSCORED_REFUSAL}),
        ids=str,
    )
    def test_without_a_change_of_refusing_it_is_described(self, tmp_path: Path, kind: AbsenceKind):
        a, b = self.one_without(tmp_path, kind, TEN)
        found = compare(a, b)
        assert found.verdicts[0].kind is Change.DESCRIBED
        assert (found.b.layer is None) == kind.early
        assert Change.LOST not in {verdict.kind for verdict in found.verdicts}

    def test_refusals_that_a_score_misses_are_not_compared_by_it(self, tmp_path: Path):
        a, b = self.one_without(tmp_path, AbsenceKind.UNSCORED_REFUSAL, [-3.0] * 10)
        for parent, variant in ((a, b), (b, a)):
            with pytest.raises(
                AuditError, match=r"b refuses in words that its score does not count"
            ):
                compare(parent, variant)

    def test_neither_has_a_direction(self, tmp_path: Path):
        runs = [
            synthetic_run(tmp_path / name, absent=AbsenceKind.NO_SEPARATION) for name in ("a", "b")
        ]
        found = compare(*runs)
        assert found.direction is None
        assert "missing of the parent and the variant" in found.verdicts[0].evidence
        page = write_comparison(found, tmp_path / "both").read_text()
        assert "Neither checkpoint has a refusal direction" in page


def directions(needed: dict[str, int]) -> dict[str, list[Any]]:
    return {"successive_directions": [SuccessiveDirections.example(needed=needed)]}


def test_directions_that_prompts_need_are_compared_prompt_by_prompt(tmp_path: Path):
    needed = {f"p{i}": 1 for i in range(10)}
    scores = prompt_scores([5.0] * 11, HARMLESS)
    a = synthetic_run(tmp_path / "a", scores=scores, found=directions(needed))
    deeper = {name: 3 if name in ("p0", "p1") else 2 for name in needed} | {"p10": 9}
    b = synthetic_run(tmp_path / "b", scores=scores, found=directions(deeper))
    found = compare(a, b)
    assert found.directions_needed is not None
    assert found.directions_needed.needed.difference.value == pytest.approx(12 / 10)
    assert found.directions_needed.needed.difference.n == 10
    assert found.directions_needed.n_beyond == 2
    (verdict,) = [v for v in found.verdicts if v.statement.startswith("Directions, one behind")]
    assert verdict.kind is Change.HIGHER
    early = synthetic_run(tmp_path / "early", scores=scores, absent=AbsenceKind.NO_SEPARATION)
    assert compare(a, early).directions_needed is None


def test_four_prompts_that_switched_of_ten_are_no_claim_yet(tmp_path: Path):
    """The bootstrap's interval excludes zero; of 16 ways to deal four signs, two are as extreme."""
    switched = [-1.0] * 4 + TEN[4:]
    a, b = pair(tmp_path, switched)
    (harmful,) = [c for c in compare(a, b).behaviour if c.label == "harmful" and not c.category]
    assert harmful.refused.difference.high < 0.0
    assert harmful.refused.p_value == pytest.approx(2 / 16)
    (verdict,) = [v for v in compare(a, b).verdicts if v.statement.startswith("Share of harmful")]
    assert verdict.kind is Change.UNCHANGED
