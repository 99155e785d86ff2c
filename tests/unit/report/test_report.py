"""The page: one file, the record's own numbers, nothing executed and nothing loaded."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sae_audit.findings import AbsenceKind
from sae_audit.pages.wording import ABSENCES, interval, percent
from sae_audit.record.run import Run
from sae_audit.report.findings.card.quality import quality_lines
from sae_audit.report.findings.card.settings import deviations
from sae_audit.report.page import render, summary, write_page
from sae_audit.statistics import median
from tests.synthetic import (
    A,
    B,
    C,
    cascade,
    computed_graph,
    minimal,
    prompt_scores,
    synthetic_run,
)
from tests.unit.report.visible import seen


def without_plotly(page: str) -> str:
    return re.sub(r"<script>/\*\*.*?</script>", "", page, flags=re.DOTALL)


def test_the_page_loads_nothing_from_anywhere(tmp_path: Path):
    page = write_page(synthetic_run(tmp_path / "run"))
    text = page.read_text()
    assert not re.search(r'<(script|link|img|iframe)[^>]+(src|href)="', text)
    assert "@import" not in without_plotly(text)


def test_the_numbers_are_the_records(tmp_path: Path):
    run = synthetic_run(tmp_path / "run")
    page = seen(render(run))
    assert re.search(
        r"^p0 \| \(none\) \| \+4.00 \| -3.00 \| -0.50 \| 2 \| .* L1/3 L2/5$", page, re.M
    ), "scores and set of the first prompt"
    assert "\nL1/3 | L2/5 | redundant | -1.500 | [-2.000, -1.000] |" in page, "the clear pair"
    assert run.manifest.model.sha256 in page
    assert "0.910 [0.810, 1.010]" in page, "explained variance"


def test_quality_of_the_saes_is_shown_layer_by_layer(tmp_path: Path):
    run = synthetic_run(tmp_path / "run", ce_recovered=(None, 0.963))
    assert quality_lines(run) == [
        "Layer 1: explained variance 0.910 [0.810, 1.010] (0.810 [0.710, 0.910] without BOS), "
        "L0 12.5 [12.4, 12.6], CE recovered not defined",
        "Layer 2: explained variance 0.920 [0.820, 1.020] (0.820 [0.720, 0.920] without BOS), "
        "L0 12.5 [12.4, 12.6], CE recovered 0.963 [0.863, 1.063]",
    ]
    written = render(run)
    page = seen(written)
    assert "0.810 [0.710, 0.910]" in page, "explained variance without BOS"
    assert "-0.500 [-0.600, -0.400]" in page, "its control"
    assert "2.250 [2.150, 2.350] nats a token of its answers" in page
    assert "the model's own greedy answer of up to 16 tokens" in page
    assert "with the layer at zero the model predicts them about as well" in page, "why not defined"
    assert re.search(r'data-value="">not defined<', written)
    assert re.search(r'data-value="0.963">0.963 \[0.863, 1.063\]<', written)
    answers = {row.question: row.answer for row in summary(run)}
    assert (
        "the lowest cross-entropy recovered 0.963 [0.863, 1.063] (layer 2; not defined at 1)"
        in answers["How far can the SAEs be trusted here?"]
    )
    assert "In place of the stream of layer 2 its SAE recovers 0.963 [0.863, 1.063]" in page


def test_cross_entropy_that_no_layer_has_is_said_to_be_undefined(tmp_path: Path):
    run = synthetic_run(tmp_path / "run", ce_recovered=(None, None))
    answers = {row.question: row.answer for row in summary(run)}
    assert (
        "the cross-entropy recovered is not defined"
        in answers["How far can the SAEs be trusted here?"]
    )
    assert "What that costs in prediction is not defined" in seen(render(run))


def test_strings_from_outside_are_escaped(tmp_path: Path):
    evil = "<script>alert(1)</script>"
    scores = [replace(s, prompt_id=evil + s.prompt_id) for s in prompt_scores([4, 3], [-5])]
    page = render(synthetic_run(tmp_path / "run", scores=scores, model=evil))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_same_record_gives_the_same_bytes(tmp_path: Path):
    run = synthetic_run(tmp_path / "run")
    assert render(run) == render(run)


def test_a_run_in_which_nothing_flipped_says_so(tmp_path: Path):
    run = synthetic_run(tmp_path / "run", flipped=False)
    page = seen(render(run))
    assert "Ablating all 12 candidates leaves the score at +1.25." in page
    assert "No cascade was followed" in page
    assert "There is no set to hold controls against" in page.replace("so there", "There")
    answers = {row.question: row.answer for row in summary(run)}
    assert "None of 2 refused prompts was flipped" in answers["How few features hold up a refusal?"]


def test_a_ratio_that_could_not_be_stated_gives_its_reason(tmp_path: Path):
    cascades = [cascade("p0", A, ratio=None)]
    page = seen(render(synthetic_run(tmp_path / "run", cascades=cascades)))
    assert "the direct effect is too small" in page


def test_flipped_and_unflipped_prompts_stand_side_by_side(tmp_path: Path):
    run = synthetic_run(tmp_path / "run", minimal_sets=[minimal("p0", A), minimal("p1")])
    rows = {row.question: row for row in summary(run)}
    assert "flip 1 of 2 refused prompts" in rows["How few features hold up a refusal?"].answer


def test_settings_that_differ_from_the_defaults_are_listed(tmp_path: Path):
    run = synthetic_run(tmp_path / "run", clamp=-1.0, cascade={"max_waves": 3})
    assert deviations(run.config) == [("clamp", -1.0, 0.0), ("cascade.max_waves", 3, 6)]


@pytest.mark.parametrize("room", ["report.page", "comparison", "record.run"])
def test_no_model_library_is_needed(room: str):
    code = (
        f"import sys, sae_audit.{room}; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'sae_lens')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _answers(run: Run) -> dict[str, tuple[str, str]]:
    return {row.question: (row.answer, row.control) for row in summary(run)}


def test_interactions_carry_their_intervals_prompts_and_chance(tmp_path: Path):
    run = synthetic_run(tmp_path / "run")
    answer, control = _answers(run)["Do features interact?"]
    assert "On the mean score over 3 prompts" in answer
    assert "R² on 32 held-out ablations is 0.970 [0.870, 1.070]" in control
    assert "a gain of 0.270 [0.170, 0.370]" in control
    assert "chance names one on at most 1 in 21" in control
    page = seen(render(run))
    assert "these 3 prompts as they are" in page
    assert "lasso on pairs, chosen on the other masks" in page
    assert "0.906 [0.806, 1.006]" in page, "AUROC without pairs"
    assert "100% [21%, 100%] of 1" in page, "one pair of one shows little"
    assert "exceeds 0.450 nats" in page, "triples by chance"


def test_what_was_computed_from_every_set_is_said_to_be_exact(tmp_path: Path):
    run = synthetic_run(tmp_path / "run", graphs=[computed_graph("p0"), computed_graph("pooled")])
    control = _answers(run)["Do features interact?"][1]
    assert "every one scored, pairs explain 0.900, single features 0.600" in control
    page = seen(render(run))
    assert "over masks there is no sampling error" in page
    assert "[-2.000, -1.000]" not in page
    assert "exact: every set was scored; variance explained by single features 0.600" in page


HIDDEN = "How much of the mechanism do the SAEs not show?"


def test_what_the_saes_do_not_show_is_a_sentence_and_its_control(tmp_path: Path):
    run = synthetic_run(tmp_path / "run")
    answer, control = _answers(run)[HIDDEN]
    assert answer == (
        "The candidates reach 92% [82%, 102%] of what removing the direction does; the SAEs' error "
        "terms carry 3% [-7%, 13%]. Replacing what the SAEs show along the direction reaches 97% "
        "[87%, 107%]."
    )
    assert "as many random features: 6% (1% to 11%)" in control
    page = seen(render(run))
    assert answer in page
    assert "90% [80%, 100%]" in page, "layer 2's share in the reconstruction"
    assert "no clear gap" in page, "layer 1"
    assert "ablating all candidates leaves 8% [-2%, 18%] undone" in page


def test_no_share_has_its_reason(tmp_path: Path):
    run = synthetic_run(tmp_path / "run", why_no_shares="removing the direction does too little")
    assert _answers(run)[HIDDEN] == ("Not known: removing the direction does too little.", "None.")
    page = seen(render(run))
    assert "Not known: removing the direction does too little." in page
    assert "not known" in page


def test_the_direction_is_reported_on_audit_prompts_beside_random_ones(tmp_path: Path):
    run = synthetic_run(tmp_path / "run")
    answer, control = _answers(run)["Does one direction carry refusal?"]
    assert "from +4.00 [+3.90, +4.10] to -3.25 [-3.35, -3.15] nats" in answer
    assert "flips 88% [78%, 98%] of 7" in answer
    assert "its cosine with itself is 0.875 [0.775, 0.975]" in answer
    assert "10 random directions of its norm flip 5% (at most 10%)" in control
    page = seen(render(run))
    assert "+3.90 (+3.85 to +3.95)" in page, "bypass of random directions"
    assert "0.0200 [-0.0800, 0.1200]" in page, "KL"


def test_a_share_that_rounds_to_nothing_has_no_sign():
    assert [percent(value) for value in (-0.001, 0.001, -0.01, 0.125)] == ["0%", "0%", "-1%", "12%"]


class TestWithoutAMechanism:
    @pytest.mark.parametrize("kind", AbsenceKind, ids=str)
    def test_it_is_said_first_with_its_reason_and_the_hint(self, tmp_path: Path, kind: AbsenceKind):
        run = synthetic_run(tmp_path / "run", absent=kind)
        page = without_plotly(render(run))
        sentence = f"No refusal mechanism is claimed: {ABSENCES[kind]}."
        assert page.index(sentence) < page.index("Does the model refuse?")
        assert "Of 4 prompts 0 say so." in page
        assert "Look again." in page
        first = summary(run)[0]
        assert first.question == "Is a refusal mechanism claimed?"
        assert first.answer.startswith(f"No: {ABSENCES[kind]}")
        assert "AUROC" in summary(run)[1].control

    @pytest.mark.parametrize("kind", [k for k in AbsenceKind if k.early], ids=str)
    def test_sections_of_what_was_not_looked_for_are_left_out(
        self, tmp_path: Path, kind: AbsenceKind
    ):
        page = without_plotly(render(synthetic_run(tmp_path / "run", absent=kind)))
        for section in (
            "candidates",
            "coverage",
            "minimal",
            "interactions",
            "cascades",
            "controls",
        ):
            assert f'id="{section}"' not in page
        assert ('id="direction"' in page) == (kind is AbsenceKind.NO_DIRECTION)
        for section in ("summary", "limits", "card", "behaviour", "repeat", "methods"):
            assert f'id="{section}"' in page

    def test_directions_that_came_near_are_shown(self, tmp_path: Path):
        page = seen(render(synthetic_run(tmp_path / "run", absent=AbsenceKind.NO_DIRECTION)))
        assert "None passes every filter" in page
        assert "All 8 directions" in page


def test_minimal_sets_stand_beside_the_same_search_by_chance(tmp_path: Path):
    page = seen(render(synthetic_run(tmp_path / "run")))
    assert "Against the same search by chance" in page
    assert "on 2 of 2 untied prompts" in page
    assert "0 of 2 refused prompts score within 0.5 nats of 0" in page


def test_headline_medians_have_an_interval_and_the_budget_behind_them(tmp_path: Path):
    scores = prompt_scores([4.0, 3.0, 3.5, 3.0, 4.0], [-5.0, -6.0])
    sets = [minimal(f"p{i}", *(A, B, C)[: 1 + (i > 0) + (i > 2)]) for i in range(5)]
    answers = _answers(synthetic_run(tmp_path / "run", scores=scores, minimal_sets=sets))
    sizes = median([1.0, 2.0, 2.0, 3.0, 3.0], seed=0)
    assert sizes.low < sizes.value < sizes.high
    few, _ = answers["How few features hold up a refusal?"]
    assert f"Median {interval(sizes, '{:g}'.format)} (1 to 3) of 12 candidates" in few
    more, _ = answers["Is there more than one way to flip a refusal?"]
    assert (
        "Within 64 more scored sets a prompt, a median of 2 (all cases alike) minimal sets" in more
    )
