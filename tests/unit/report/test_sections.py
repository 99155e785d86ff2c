"""What each section says: the record's own numbers, each in its row, and why something is missing.

No number of the invented run stands in it twice, so a number in another's place is seen.
"""

import json
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from sae_audit.config import AuditConfig
from sae_audit.findings import (
    AbsenceKind,
    Estimate,
    LayerCoverage,
    PairKind,
    SaeCoverage,
    StoppedDirection,
    StopReason,
)
from sae_audit.pages.charts import Bars, Points
from sae_audit.pages.wording import (
    absence_headline,
    between,
    interval,
    nats,
    percent,
    ranged,
    share_said,
)
from sae_audit.record.run import Run
from sae_audit.report.chapters import CHAPTERS
from sae_audit.report.findings.card.quality import quality_lines, recovered
from sae_audit.report.findings.card.settings import deviations
from sae_audit.report.findings.direction.figures import against_kl
from sae_audit.report.page import figures, render, summary
from sae_audit.statistics import median
from tests.synthetic.findings import (
    A,
    B,
    C,
    cascade,
    coactivation_fm,
    computed_graph,
    estimate,
    family,
    graph,
    minimal,
    prompt_scores,
    qualities,
    scale,
)
from tests.synthetic.runs import synthetic_run
from tests.visible import Page, rows_of, seen

NUMBERS = ("{:.3f}".format, "{:.1f}".format, "{:.4f}".format, "{:.3g}".format, percent, nats)
"""How a number may stand on the page: with more or fewer digits, as a share, or with its sign."""


def answer_to(run: Run, question: str) -> tuple[str, str]:
    (row,) = (row for row in summary(run) if row.question == question)
    return row.answer, row.control


def estimates(found: Any) -> list[Estimate]:
    """All within a finding."""
    if isinstance(found, Estimate):
        return [found]
    if is_dataclass(found):
        return estimates([getattr(found, field.name) for field in fields(found)])
    parts = found if isinstance(found, list | tuple) else []
    return [one for part in parts for one in estimates(part)]


def rest(found: Estimate) -> Estimate:
    """What a share leaves of the whole."""
    return replace(found, value=1 - found.value, low=1 - found.high, high=1 - found.low)


@pytest.mark.parametrize(
    "finding",
    [
        *("quality", "direction_check", "layer_patching", "successive_directions", "categories"),
        *("sae_coverage", "controls"),
        *("pooled_set", "pooled_graph", "sufficiency", "pooled_cascade"),
        *("filter_curve", "coactivation_fm"),
    ],
)
def test_every_estimate_stands_on_the_page_with_its_interval(run: Run, text: str, finding: str):
    found = estimates(getattr(run, finding))
    missing = [
        one
        for one in found
        if not any(interval(one, number) in text for number in NUMBERS)
        and not any(between(one, number) in text for number in NUMBERS)
        and share_said(one) not in text
        and interval(rest(one), percent) not in text
    ]
    unsaid = {
        "quality": [run.quality[-1].ce_clean],
        "controls": [run.controls.scales[0].flipped],
    }
    assert found
    assert missing == unsaid.get(finding, []), "the same for all layers; 100% by construction"


class TestDirection:
    def test_scores_with_and_without_it_stand_beside_random_ones(self, run: Run, text: str):
        check = run.direction_check
        assert check is not None
        for row, clean, own in (
            (
                "Direction taken out: refusal score of harmful prompts",
                check.clean_harmful,
                check.bypass,
            ),
            (
                "Direction added: refusal score of harmless prompts",
                check.clean_harmless,
                check.induce,
            ),
        ):
            assert rows_of(text, row) == [
                [
                    interval(clean, nats),
                    interval(own.own, nats),
                    ranged(own.random, nats),
                    str(own.own.n),
                ]
            ]
        for row, clean, own in (
            ("share of harmful prompts whose refusal that ends", "0%", check.flipped),
            ("share of harmless prompts refused after that", "0%", check.induced),
            ("share of harmless prompts answered, direction taken out", "100%", check.answered),
        ):
            assert rows_of(text, row) == [
                [clean, interval(own.own, percent), ranged(own.random, percent), str(own.own.n)]
            ]

    def test_the_answer_is_of_audit_prompts(self, run: Run):
        check = run.direction_check
        assert check is not None
        assert check.removed is not None
        answer, control = answer_to(run, "Does one direction carry refusal?")
        assert (
            f"from {nats(check.clean_harmful.value)} to {between(check.bypass.own, nats)} nats"
            in answer
        )
        assert (
            f"ended {share_said(check.flipped.own, 'refusals')}, by score; not confirmed" in answer
        )
        assert f"it points the same way: cosine {between(check.stability.own)}." in answer
        random = check.flipped.random
        most = percent(random.highest)
        assert (
            f"{check.bypass.random.n} random directions of its size ended at most {most}" in control
        )

    def test_where_there_is_none_those_tried_are_shown(self, tmp_path: Path):
        page = seen(render(synthetic_run(tmp_path / "run", absent=AbsenceKind.NO_DIRECTION)))
        assert "There is no direction: Not one of them has finite numbers." in page
        assert "\nAll 8 directions\n" in page

    def test_what_the_limit_costs_is_said(self, run: Run, text: str):
        limit = run.config.direction.kl_limit
        assert f"Without the limit of KL ({limit:g} nats) the choice would be the same." in text


UNCLEAN = "No direction removes refusal cleanly: the best of 8 costs KL 0.350 nats where 0.1 is it."


@pytest.mark.parametrize(("left_out", "is_said"), [(0, False), (1234, True)])
def test_features_left_out_of_the_search_are_counted(tmp_path: Path, left_out: int, is_said: bool):
    fewer = replace(synthetic_run(tmp_path / "run").candidates, left_out=left_out)
    page = Page(render(synthetic_run(tmp_path / "run", found={"candidates": [fewer]})))
    assert ("1,234 features were left out beforehand" in page.text) == is_said
    assert (
        "1,234 features that fire on harmless prompts too were left out" in page.text
    ) == is_said
    assert ("--set candidates.max_harmless_rate=1" in page.text) == is_said
    assert ("candidates.max_harmless_rate" in page.text) == is_said


class TestADirectionThatIsNotClean:
    """It is marked on the page, in its summary and in the file, and the audit is whole."""

    @pytest.fixture(scope="class")
    def unclean(self, tmp_path_factory: pytest.TempPathFactory) -> Run:
        folder = tmp_path_factory.mktemp("unclean") / "run"
        first = synthetic_run(folder)
        costs = ("costs KL 0.350 nats where 0.1 is the limit",)
        marked = replace(
            first.direction,
            breaks=costs,
            unclean=UNCLEAN,
            weak=True,
            removed=Estimate(value=0.21, low=0.14, high=0.29, n=9, method="bootstrap 95%"),
        )
        ranked = replace(first.candidates, method="attribution", reason=f"the direction {costs[0]}")
        return synthetic_run(folder, found={"direction": [marked], "candidates": [ranked]})

    def test_it_is_said_before_the_first_question(self, unclean: Run):
        page = Page(render(unclean))
        assert page.text.index(UNCLEAN) < page.text.index("Does the model refuse?")
        assert "The direction is weak: projected out it removes 21% [14%, 29%]" in page.text
        assert "Features are ranked by estimated effect: the direction costs KL 0.350" in page.text
        assert "no mechanism" not in page.text.lower()

    def test_the_summary_does_not_say_yes(self, unclean: Run):
        answer, control = answer_to(unclean, "Does one direction carry refusal?")
        assert answer.startswith("Hardly, and not cleanly. Taking one direction out ")
        assert UNCLEAN in control

    def test_the_file_says_it(self, unclean: Run):
        written = json.loads((unclean.folder / "findings.json").read_text())["direction"]
        assert (written["clean"], written["weak"], written["unclean"]) == (False, True, UNCLEAN)

    def test_a_clean_one_says_nothing_of_it(self, text: str):
        assert "removes refusal cleanly" not in text
        assert "is weak" not in text

    def test_a_choice_that_the_limit_forbids_is_shown_with_its_price(self, tmp_path: Path):
        first = synthetic_run(tmp_path / "run")
        other = replace(first.direction.selected, layer=3, position=-1, bypass=-9.5, kl=0.41)
        marked = replace(first.direction, without_kl_limit=other)
        run = synthetic_run(tmp_path / "run", found={"direction": [marked]})
        assert "the choice would be layer 3, position -1: bypass -9.50 in place of" in seen(
            render(run)
        )

    def test_every_direction_is_in_the_figure(self, tmp_path: Path):
        first = synthetic_run(tmp_path / "run")
        stopped = StoppedDirection(
            position=-7,
            layer=1,
            bypass=1.5,
            n_bypass=2,
            induce=None,
            n_induce=0,
            kl=0.7,
            n_kl=1,
            reason=StopReason.KL,
        )
        failed = replace(first.direction.evaluations[0], failed=("with too large a KL",))
        found = replace(
            first.direction,
            stopped=(stopped,),
            evaluations=(failed, *first.direction.evaluations[1:]),
        )
        marks = [m for m in against_kl(found, kl_limit=0.1).marks if isinstance(m, Points)]
        counts = {mark.name: mark.n for mark in marks}
        assert counts == {
            "not asked on all prompts": 1,
            "breaks a limit": 1,
            "passes every filter": 6,
            "chosen": 1,
        }
        by_name = {mark.name: mark for mark in marks}
        assert "with too large a KL" in by_name["breaks a limit"].said[0]
        assert by_name["not asked on all prompts"].y == [1.5]


class TestSaes:
    def test_quality_is_shown_layer_by_layer(self, run: Run, text: str):
        for one, line in zip(run.quality, quality_lines(run), strict=True):
            assert one.ce_recovered is not None
            cells = [one.explained_variance, one.explained_variance_without_bos]
            rotated, l0 = one.explained_variance_rotated, interval(one.l0, "{:.1f}".format)
            assert [
                *map(interval, cells),
                interval(rotated),
                l0,
                interval(one.ce_recovered),
                recovered(one.ce_recovered_rotated),
            ] in rows_of(text, str(one.layer))
            assert line == (
                f"Layer {one.layer}: explained variance {interval(cells[0])} "
                f"({interval(cells[1])} without BOS), L0 {l0}, "
                f"CE recovered {interval(one.ce_recovered)}"
            )

    def test_they_are_named_with_repository_and_commit(self, run: Run, text: str):
        for sae in run.manifest.saes:
            assert f"{sae.release} ({sae.repository} at commit {sae.revision})" in text
            row = [sae.id, sae.hook_name, sae.architecture, str(sae.width), sae.sha256]
            assert row in rows_of(text, str(sae.layer))
        assert run.manifest.model.sha256 in text

    def test_cross_entropy_that_one_layer_lacks(self, tmp_path: Path):
        found = {"sae_quality": [qualities(None, 0.9625)]}
        run = synthetic_run(tmp_path / "run", found=found)
        stated = interval(estimate(0.9625))
        assert quality_lines(run)[0].endswith("CE recovered not defined")
        written = render(run)
        page = seen(written)
        assert "with the layer at its mean the model predicts them about as well" in page, "why"
        assert 'data-value="">not defined<' in written
        assert f'data-value="0.9625">{stated}<' in written
        answer, _ = answer_to(run, "How far can the SAEs be trusted here?")
        keep = between(estimate(0.9625), "{:.1%}".format)
        assert f"They keep {keep} of what layer 2 does for the next word. It is not" in answer
        assert f"In place of the stream of layer 2 its SAE recovers {stated}" in page

    def test_cross_entropy_that_no_layer_has(self, tmp_path: Path):
        run = synthetic_run(tmp_path / "run", found={"sae_quality": [qualities(None, None)]})
        answer, _ = answer_to(run, "How far can the SAEs be trusted here?")
        assert "How much of the model's prediction they keep is not defined" in answer
        assert "What that costs in prediction is not defined" in seen(render(run))


class TestWhatTheSaesDoNotShow:
    QUESTION = "How much of the mechanism do the SAEs not show?"

    def test_it_is_a_sentence_and_its_control(self, tmp_path: Path):
        found = SaeCoverage.example(
            reason="",
            layers=(LayerCoverage.example(layer=1),),
            hidden_from_candidates=replace(estimate(0.08), low=-0.02, high=0.19),
            hidden_from_saes=replace(estimate(0.03), low=-0.06, high=0.14),
            carried_by_error=replace(estimate(0.05), low=-0.07, high=0.13),
        )
        run = synthetic_run(tmp_path / "run", found={"sae_coverage": [found]})
        answer, control = answer_to(run, self.QUESTION)
        assert answer == (
            "The features that we searched explain 92% (81% to 102%) of what removing the direction "
            "does. What the SAEs cannot see carries 5% (-7% to 13%) of it. All that the SAEs show "
            "along the direction reaches 97% (86% to 106%)."
        )
        assert found.random_features is not None
        assert f"as many random features: {ranged(found.random_features, percent)}" in control
        page = seen(render(run))
        assert answer in page
        assert "ablating all candidates leaves 8% [-2%, 19%] undone" in page

    def test_layers_have_their_shares_or_no_clear_gap(self, run: Run, text: str):
        assert run.sae_coverage is not None
        first, second = run.sae_coverage.layers
        assert second.in_reconstruction is not None
        assert second.in_error is not None
        row = next(
            row for row in rows_of(text, str(second.layer)) if row[0] == interval(second.gap)
        )
        assert second.random is not None
        assert row == [
            interval(second.gap),
            ranged(second.gap_random),
            interval(second.in_reconstruction, percent),
            interval(second.in_error, percent),
            f"{100 * (second.slope or 0):.0f}%",
            ranged(second.random, percent),
            str(second.gap.n),
        ]
        row = next(row for row in rows_of(text, str(first.layer)) if row[0] == interval(first.gap))
        assert row[2] == "no clear gap"

    def test_no_share_has_its_reason(self, tmp_path: Path):
        reason = "removing the direction does too little"
        found = SaeCoverage.example(
            reason=reason,
            layers=(LayerCoverage.example(layer=1),),
            hidden_from_candidates=None,
            hidden_from_saes=None,
            carried_by_error=None,
            random_features=None,
            random_direction=None,
            random_error=None,
        )
        run = synthetic_run(tmp_path / "run", found={"sae_coverage": [found]})
        assert answer_to(run, self.QUESTION) == (f"Not known: {reason}.", "None.")
        page = seen(render(run))
        assert page.count(f"Not known: {reason}.") == 2, "at the head and in the section"


class TestMinimalSets:
    def test_a_prompt_has_a_row_with_its_scores_and_its_set(self, run: Run, text: str):
        for found in run.minimal_sets:
            row = rows_of(text, found.prompt_id)[0]
            scores = (found.clean_score, found.ablated_score)
            assert row[1:3] == [f"{score:+.2f}" for score in scores]
            assert row[3] == str(len(found.features))
            assert row[-1].startswith(" ".join(map(str, found.features)))
            asked = f"{found.n_sets_scored} sets scored; all candidates off:"
            assert f"{asked} {found.candidates_score:+.2f}" in " ".join(text.split())

    def test_certificates_are_the_records(self, run: Run, text: str):
        for found in run.minimal_sets:
            for feature, score in found.score_without.items():
                assert f"\n{feature} | {score:+.3f} |" in text

    def test_flipped_and_unflipped_prompts_stand_side_by_side(self, tmp_path: Path):
        run = synthetic_run(tmp_path / "run", minimal_sets=[minimal("p0", A), minimal("p1")])
        answer, _ = answer_to(run, "How few features hold up a refusal?")
        assert "on 1 of 2 refused prompts (9% to 91%) by score; not confirmed" in answer
        assert run.minimal_sets[1].reason in seen(render(run))

    def test_they_stand_beside_pools_of_random_features(self, text: str):
        assert "Against random pools" in text
        assert "Candidates 2.50, the best random pool 0.00" in text
        assert "p = 0.02 by rank, at least 0.02 with so many pools" in text
        assert "0 of 2 refused prompts score within 0.5 nats of 0" in text

    def test_headline_medians_have_an_interval_and_the_budget_behind_them(self, tmp_path: Path):
        scores = prompt_scores([4.0, 3.0, 3.5, 3.25, 4.5], [-5.0, -6.0])
        sets = [minimal(f"p{i}", *(A, B, C)[: 1 + (i > 0) + (i > 2)]) for i in range(5)]
        families = [family(one, n_others=i % 3, complete=i < 3) for i, one in enumerate(sets)]
        run = synthetic_run(
            tmp_path / "run",
            scores=scores,
            minimal_sets=sets,
            found={"minimal_set_families": families},
        )
        sizes = median([1.0, 2.0, 2.0, 3.0, 3.0])
        assert sizes.low < sizes.value < sizes.high
        few, _ = answer_to(run, "How few features hold up a refusal?")
        assert f"Usually 2 ({sizes.low:g} to {sizes.high:g}; from 1 to 3), of 12 searched" in few
        more, _ = answer_to(run, "Is there more than one way to flip a refusal?")
        n_sets = interval(median([float(len(one.sets)) for one in families]), "{:g}".format)
        own = between(median([float(len(one.sets)) for one in families]), "{:g}".format)
        assert f"{own} different minimal sets a prompt (median; at most 3)" in more
        assert "64 more sets a prompt were tried" in more
        page = seen(render(run))
        assert f"a median of {n_sets} minimal sets was found (at most 3)" in page
        assert "3 of 5 lists are complete (no + in the table below), provided that" in page
        assert "no scored set contradicts that" in page
        assert "Other minimal sets: " + " ".join(map(str, families[1].sets[-1].features)) in page
        (drawn,) = figures(run)["family_sizes"].marks
        assert isinstance(drawn, Bars)
        assert dict(zip(drawn.at, drawn.values, strict=True)) == {1: 2, 2: 2, 3: 1}

    def test_doses_stand_beside_random_sets_at_the_same(self, tmp_path: Path):
        scores = prompt_scores([4.0, 3.0, 3.5], [-5.0])
        sets = [minimal("p0", A), minimal("p1"), minimal("p2")]
        scales = [scale(sets[0]), scale(sets[1], at=2.0), scale(sets[2])]
        assert [one.certified for one in scales] == [True, True, False]
        run = synthetic_run(
            tmp_path / "run", scores=scores, minimal_sets=sets, found={"flip_scales": scales}
        )
        page = seen(render(run))
        own, overshot = run.controls.scales
        for one in (own, overshot):
            assert one.mean is not None
            assert one.random_flipped is not None
            assert f"{interval(one.mean)} | " in page
            assert interval(one.random_flipped, percent) in page
        assert f"ended {share_said(overshot.flipped)} refusals that switching them off" in page
        assert "| > 2 |" in page, "what no scale flips"

    def test_no_pooled_set(self, tmp_path: Path):
        alone = synthetic_run(tmp_path / "run", found={"pooled_set": []}, graphs=[graph("p0")])
        page = seen(render(alone))
        assert "No pooled set: too few prompts were flipped" in page
        assert "No pooled fit: there is no pooled set." in page


class TestInteractions:
    def test_the_named_pair_has_its_row(self, run: Run, text: str):
        assert run.pooled_graph is not None
        named, _ = run.pooled_graph.pairs
        (row,) = [row for row in rows_of(text, str(A)) if row[:2] == [str(B), "redundant"]]
        assert row[2:6] == [
            f"{named.weight:+.3f}",
            f"[{named.low:+.3f}, {named.high:+.3f}]",
            f"[{named.curve_low:+.3f}, {named.curve_high:+.3f}]",
            f"{named.lasso:+.3f}",
        ]

    def test_they_carry_their_intervals_prompts_and_chance(self, run: Run, text: str):
        pooled = run.pooled_graph
        assert pooled is not None
        assert pooled.r2 is not None
        answer, control = answer_to(run, "Do features interact?")
        assert answer.startswith("Yes. A pair was named on 1 of 1 prompts (21% to 100%)")
        assert "chance would name one on about 0." in answer
        assert f"Averaged over {pooled.n_prompts} prompts, none of 2 pairs acts through" in answer
        gain = between(pooled.r2.gain, "{:.2f}".format)
        assert f"On the average of prompts pairs raise R² by {gain}." in control
        assert f"without a pair, reaches {interval(pooled.r2.curve)}" in text
        assert f"pairs add {interval(pooled.r2.pairs_over_curve)} to it" in text
        assert "So pairs may be named." in text
        assert "chance names one on at most 1 in 21" in text
        assert f"these {pooled.n_prompts} prompts as they are" in text
        assert "lasso on pairs, chosen on the other masks" in text
        assert f"exceeds {pooled.null_triple:.3f} nats" in text, "triples by chance"

    def test_what_was_computed_from_every_set_is_said_to_be_exact(self, tmp_path: Path):
        graphs = [computed_graph("p0"), computed_graph("pooled")]
        run = synthetic_run(tmp_path / "run", graphs=graphs)
        _, control = answer_to(run, "Do features interact?")
        assert (
            "every set was scored, and nothing was fitted: pairs explain 0.90 of what varies"
            in control
        )
        page = seen(render(run))
        assert "over masks there is no sampling error" in page
        named = graph("pooled").pairs[0]
        assert f"[{named.low:+.3f}, {named.high:+.3f}]" not in page
        assert "exact: every set was scored; variance explained by single features 0.600" in page

    def test_pairs_that_do_not_predict_are_said_not_to_with_the_gain(self, tmp_path: Path):
        found = graph("pooled")
        assert found.r2 is not None
        within = replace(found.r2.pairs_over_curve, value=0.015625, low=-0.03125, high=0.0625)
        unclear = tuple(replace(pair, kind=PairKind.UNCLEAR) for pair in found.pairs)
        r2 = replace(found.r2, pairs_over_curve=within)
        graphs = [replace(found, scope=scope, r2=r2, pairs=unclear) for scope in ("p0", "pooled")]
        run = synthetic_run(tmp_path / "run", graphs=graphs)
        assert not any(one.predicts for one in graphs)
        said = "better than one curve over single effects: gain in R2 +0.016 [-0.031, +0.062]."
        assert said in answer_to(run, "Do features interact?")[1]
        page = seen(render(run))
        assert f"No pooled pair is named. Pairs do not predict held-out masks {said}" in page
        assert "On 0 of 1 prompts pairs predict" in page

    def test_no_fit_gives_its_reason(self, tmp_path: Path):
        none = dict.fromkeys(("r2", "null_weight", "null_beyond_curve", "null_triple"))
        empty = dict.fromkeys(("fits", "pairs", "triples", "classifiers"), ())
        graphs = [
            replace(graph(scope), design="none", reason="no mask moves the score", **none, **empty)
            for scope in ("p0", "p1", "pooled")
        ]
        page = seen(render(synthetic_run(tmp_path / "run", graphs=graphs)))
        assert "No fit: no mask moves the score." in page
        assert "No prompt could be fitted (2 tried)" in page


def test_a_compensation_ratio_that_could_not_be_stated_gives_its_reason(tmp_path: Path):
    cascades = [cascade("p0", A, ratio=False), cascade("p1", A)]
    page = seen(render(synthetic_run(tmp_path / "run", cascades=cascades)))
    assert "1 of 2 prompts have no ratio" in page
    assert "no ratio: the direct effect is too small" in page


def test_nothing_flipped(tmp_path: Path):
    run = synthetic_run(tmp_path / "run", flipped=False)
    page = seen(render(run))
    for sentence in (
        "Such sets end the refusal on 0 of 2 refused prompts (0% to 66%) by score; not confirmed",
        run.minimal_sets[0].reason,
        "There are none: no prompt was flipped.",
        "Nothing was fitted: no prompt was flipped.",
        "No cascade was followed: no prompt was flipped.",
        "No prompt was flipped, so there is no set to hold controls against.",
        "Not measured: there is no pooled set.",
        "Not tried: no prompt was flipped.",
    ):
        assert sentence in page
    answer, _ = answer_to(run, "How few features hold up a refusal?")
    assert "None of 2 refused prompts was flipped" in answer


def test_settings_that_differ_from_the_defaults_are_listed(run: Run):
    changes = {"clamp": -1.0, "cascade": run.config.cascade.model_copy(update={"max_waves": 3})}
    changed: AuditConfig = run.config.model_copy(update=changes)
    assert deviations(changed) == [("clamp", -1.0, 0.0), ("cascade.max_waves", 3, 6)]


def test_categories_have_their_rows(tmp_path: Path, text: str):
    scores = [
        *prompt_scores([4.0, -3.0, 2.0], [], ids="fraud", category="fraud"),
        *prompt_scores([1.0], [-1.0], ids="hate", category="hate"),
    ]
    page = seen(render(synthetic_run(tmp_path / "run", scores=scores)))
    of_fraud = [row for row in rows_of(page, "harmful") if row[0] == "fraud"]
    assert [row[:3] for row in of_fraud] == [["fraud", "2", "3"]]
    assert "The prompts carry no categories." in text
    assert "The prompts carry no categories." not in page


def test_a_share_that_rounds_to_nothing_has_no_sign():
    assert [percent(value) for value in (-0.001, 0.001, -0.01, 0.125)] == ["0%", "0%", "-1%", "12%"]


class TestFactorizationMachine:
    """What is said of the features that it adds: by rank, or why there are none."""

    @staticmethod
    def of(folder: Path, **given: Any) -> Run:
        sets = [minimal("p0", A, B), minimal("p1", A, B)]
        found = {"coactivation_fm": [coactivation_fm(sets, **given)]}
        return synthetic_run(folder / "run", minimal_sets=sets, found=found)

    QUESTION = "What does a factorization machine on co-activations add to the filtered set?"
    NO_MORE = "flips no more than what they add"

    def test_more_than_permuted_labels_add(self, tmp_path: Path):
        run = self.of(tmp_path)
        text, (answer, control) = seen(render(run)), answer_to(run, self.QUESTION)
        assert "What it adds flips more than what they add" in text
        assert self.NO_MORE not in text
        assert answer.startswith("2 features. ")
        assert "p = 0.02 (the smallest possible: 0.02)" in answer
        assert "linear probe, equally large" in control

    def test_no_more_than_they_add_is_a_limit_of_the_report(self, tmp_path: Path):
        text = seen(render(self.of(tmp_path, p_value=0.04)))
        assert self.NO_MORE in text
        assert "that features co-activate says nothing here of what holds refusal up" in text

    def test_no_feature_is_added(self, tmp_path: Path):
        kept = [one for one in coactivation_fm([minimal("p0", A)]).sets if one.name == "filtered"]
        run = self.of(
            tmp_path,
            added=(),
            points=(),
            fits=(),
            pairs=(),
            sets=tuple(kept),
            p_value=1.0,
            n_permutations=0,
            reason="no such luck",
        )
        assert "No feature is added: no such luck." in seen(render(run))
        answer, _ = answer_to(run, self.QUESTION)
        assert answer.startswith("Nothing: no such luck.")


class TestWithoutAMechanism:
    @pytest.fixture(scope="class", params=AbsenceKind, ids=str)
    def absent(self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
        return synthetic_run(tmp_path_factory.mktemp("absent") / "run", absent=request.param)

    def test_it_is_said_first_with_its_reason_and_the_hint(self, absent: Run):
        assert absent.absence is not None
        kind = absent.absence.kind
        page = Page(render(absent))
        sentence = absence_headline(kind)
        assert ("no mechanism" in page.text.lower()) == (kind is AbsenceKind.NO_REFUSAL)
        tied = kind in (AbsenceKind.REFUSES_EVERYTHING, AbsenceKind.NO_SEPARATION)
        assert ("efusal not tied to harm" in page.text) == tied
        assert page.text.index(sentence) < page.text.rindex("Does the model refuse?")
        assert absent.absence.reason in page.text
        assert absent.absence.remedy in page.text
        first, second = summary(absent)[:2]
        of_features = kind in (AbsenceKind.NO_FLIP, AbsenceKind.NOT_BEYOND_NULL)
        assert first.question.startswith("Were features" if of_features else "Is there refusal")
        no = "" if kind is AbsenceKind.UNSCORED_REFUSAL else "No. "
        assert first.answer.startswith(f"{no}{absence_headline(kind)}")
        assert "AUROC" in second.control
        not_looked_for = [
            "layers",
            "categories",
            "candidates",
            "coverage",
            "minimal",
            "interactions",
            "cascades",
            "controls",
            "features",
            "nulls",
            "side_effects",
        ]
        # The builder's minimal sets are filtered ones wherever some prompt is flipped.
        if absent.filter_curve is not None:
            not_looked_for.append("filtering")
        always = [
            "summary",
            "all_findings",
            "claims",
            "limits",
            "card",
            "behaviour",
            "repeat",
            "methods",
        ]
        direction = [] if kind.early and kind is not AbsenceKind.NO_DIRECTION else ["direction"]
        chapters = [one.id for one in CHAPTERS]
        expected = {*always, *direction, *([] if kind.early else not_looked_for), *chapters}
        assert set(page.sections) == expected
