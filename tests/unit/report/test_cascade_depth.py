"""What the page says of edges, tokens, chance, the final norm and the way back up."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from sae_audit.findings import ClaimAbout, FirstWaveEffects
from sae_audit.pages.wording import between, interval, nats, percent, ranged, share_said
from sae_audit.record.publish import published
from sae_audit.record.run import Run
from sae_audit.report.findings.cascades.counts import EDGES, dormant_features, wave_rows
from sae_audit.report.page import render, summary
from sae_audit.statistics import median
from tests.synthetic.findings import A, B, C, cascade, minimal, prompt_scores
from tests.synthetic.runs import synthetic_run
from tests.visible import rows_of, seen

LATER = (
    *("cascade_nulls", "edges", "activation_tokens"),
    *("restorations", "pooled_cascade", "sufficiency"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("depth") / "run"
    found = [cascade("p0", A, B, C), cascade("p1", A), cascade("p2", A, B), cascade("p3", A, B)]
    made = synthetic_run(folder, cascades=found)
    made.__dict__["claims"] = [
        replace(one, stands=False) if one.about is ClaimAbout.BACKUPS else one
        for one in made.claims
    ]
    return made


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same on twelve prompts, enough for intervals of means and ratios."""
    waves = [(A, B, C), (A,), (A, B), (A, B)] * 3
    return synthetic_run(
        tmp_path_factory.mktemp("depth") / "many",
        scores=prompt_scores([4.0 + i / 8 for i in range(12)], [-5.0, -6.0]),
        minimal_sets=[minimal(f"p{i}", A) for i in range(12)],
        cascades=[cascade(f"p{i}", *own) for i, own in enumerate(waves)],
    )


@pytest.fixture(scope="module")
def section(run: Run) -> str:
    return section_of(run)


def section_of(run: Run) -> str:
    page = seen(render(run))
    start = page.index("\nCascades\n")
    return page[start : page.index("\nControls\n", start)]


def test_every_edge_is_shown_with_each_test_it_went_through(run: Run, section: str):
    for found in run.edges:
        for edge in found.edges:
            row = (
                f"{edge.activation:.3f} | {edge.activation_kept:.3f} | "
                f"{edge.activation_alone:.3f} | {edge.activation_held:.3f} | \N{EN DASH} | "
                f"{edge.n_controls_activating} of {edge.n_controls} |"
            )
            names = f"{found.prompt_id} | {edge.cause} | {edge.feature} | {EDGES[edge.kind]}"
            assert f"\n{names} | {row}" in section
    n_tested = sum(found.n_pairs_tested for found in run.edges)
    assert f"{n_tested} pairs of a feature and one of a later wave" in section


def test_pooled_numbers_stand_with_interval_and_control(run: Run, section: str):
    pooled = run.pooled_cascade
    assert pooled is not None
    assert "| L1/3 | 100% [51%, 100%] | 4 |" in section, "the first feature is in every first wave"
    active = pooled.active[0]
    assert f"{interval(active.n_activated)} | {interval(active.n_random)} |" in section
    template = pooled.tokens[-1]
    assert template.random_peaks is not None
    cells = (template.peaks, template.random_peaks, template.fires, template.clean_peaks)
    beside = (template.clean_fires, template.tokens)
    assert " | ".join(interval(one, percent) for one in (*cells, *beside)) in section


def test_depth_and_compensation_stand_beside_random_sets(many: Run):
    run, section = many, section_of(many)
    pooled = run.pooled_cascade
    assert pooled is not None
    assert pooled.null is not None
    chance = pooled.null
    own, random = (rows_of(section, name)[:2] for name in ("of the minimal set", "random, matched"))
    assert own[0][:2] == [interval(pooled.depths.mean), "75% [47%, 91%]"]
    assert pooled.depths.mean.has_interval
    assert random[0] == [
        "1.000 (all cases alike)",
        "0% [0%, 24%]",
        interval(chance.depths.score_first),
        "12",
    ]
    for row, found in ((own[1], pooled.compensation), (random[1], chance.compensation)):
        assert found is not None
        assert found.ratio is not None
        cells = (found.total, found.direct, found.undone, found.ratio)
        assert row == [*map(interval, cells), str(found.ratio.n)]
    (row,) = (row for row in summary(run) if row.question == "Do backups take over?")
    assert "On 9 of 12 prompts (47% to 91%) silent features begin to fire" in row.answer
    rounds = between(pooled.depths.mean, "{:.1f}".format)
    assert f"It goes on for {rounds} rounds on average." in row.answer
    assert "such features join on 0 of 12 prompts (0% to 24%)" in row.control


def test_backups_are_named_only_as_what_is_not_shown(run: Run, section: str):
    pooled = run.pooled_cascade
    assert pooled is not None
    assert not pooled.backups.stands
    (row,) = (row for row in summary(run) if row.question == "Do backups take over?")
    assert row.answer.startswith("None found.")
    assert pooled.backups.reason in row.answer
    assert pooled.restoration is not None
    assert pooled.restoration.stand_ins is not None
    assert f"restore {ranged(pooled.restoration.stand_ins, nats)} nats" in row.control
    assert "they are not shown to be backups" in section
    found = pooled.restoration
    assert found.same_score is not None
    label = f"all that activates, held at zero ({interval(found.n_held)} features)"
    assert rows_of(section, label)[0][0] == interval(found.restored)
    (control,) = rows_of(section, "same score: all that activates behind unrelated features")
    cells = (found.same_score.restored, found.same_score.difference)
    assert control[:2] == [*map(interval, cells)]


def test_backups_that_are_shown_are_named(tmp_path: Path):
    """What is restored is beyond all stand-ins and beyond what unrelated features activate."""
    found = [cascade(f"p{i}", A, B) for i in range(6)]
    run = synthetic_run(tmp_path / "run", cascades=found)
    pooled = run.pooled_cascade
    assert pooled is not None
    assert not pooled.backups.stands
    restored = [
        replace(
            one,
            stand_in_sets=(0.0,) * 39,
            same_score=one.same_score and replace(one.same_score, restored=0.0),
        )
        for one in run.restorations
    ]
    shown = synthetic_run(tmp_path / "shown", cascades=found, restored=restored)
    (row,) = (row for row in summary(shown) if row.question == "Do backups take over?")
    assert row.answer.startswith("Yes. They restore +1.31 (+1.26 to +1.35) nats")
    assert "they are not shown to be backups" not in seen(render(shown))


def test_a_pair_seen_often_has_its_share_and_its_stand_ins(section: str):
    assert "| 100% [44%, 100%] | 3 |" in section
    assert "6 of 21" in section
    assert "2 others were seen once or twice, 0 of them with an edge" in section


def test_medians_have_intervals_and_five_prompts_or_none():
    found = [cascade(f"p{i}", A, B, C) if i else cascade("p0", A, B) for i in range(5)]
    _, second, third = wave_rows(found)
    second_waves = [one.waves[1] for one in found]
    assert second.score_after == median([one.score_after for one in second_waves])
    assert (third.n_prompts, third.score_after) == (4, None)
    by_feature = {one.feature: one for one in dormant_features(found, 9)}
    activates = [wave.dormant[0] for wave in second_waves]
    assert by_feature[B].effect == median([one.effect for one in activates])
    assert by_feature[B].direct_attribution == median([one.direct_attribution for one in activates])
    assert by_feature[C].n_prompts == 4
    assert by_feature[C].effect is by_feature[C].direct_attribution is None


def test_the_norms_part_of_compensation_is_a_row_of_its_own(many: Run):
    pooled, section = many.pooled_cascade, section_of(many)
    assert pooled is not None
    assert pooled.compensation_norm is not None
    (row,) = rows_of(section, "frozen less live: what the norm undoes")
    assert row[-2:] == [interval(pooled.compensation_norm), "12"]


def test_sufficiency_is_answered_beside_its_control(run: Run, section: str):
    assert "all waves of a flipped prompt" in section
    answers = {row.question: row for row in summary(run)}
    row = answers["Are the same features enough to refuse?"]
    assert run.sufficiency is not None
    (pooled,) = (one for one in run.sufficiency.sets if one.name == "pooled")
    assert share_said(pooled.refused, "harmless prompts") in row.answer
    assert f"{between(pooled.score_rise, '{:.2f}'.format)} nats" in row.answer
    assert share_said(pooled.refused_random, "prompts") in row.control
    assert f"{between(pooled.score_rise_random, '{:.2f}'.format)} nats" in row.control
    check = run.direction_check
    assert check is not None
    added = f"made {share_said(check.induced.own, 'prompts')} refused"
    assert added in row.control, "the positive control"
    assert (
        f"makes {interval(check.induced.own, percent)} of {check.induced.own.n} answered" in section
    )


def test_tables_have_a_row_for_each_edge_and_each_class_of_token(run: Run):
    edges, tokens = run.table("activation_edges"), run.table("activation_tokens")
    assert edges.loc[0, "kind"] == "direct"
    assert len(tokens) == 4 * (3 + 1 + 2 + 2), "four classes, after each wave of each prompt"
    of_first = tokens[(tokens.prompt_id == "p0") & (tokens.n_waves == 1)].set_index("token")
    (found, *_), (active, *_) = run.activation_tokens, run.activation_tokens[0].active
    assert dict(of_first.n_tokens) == found.tokens
    assert dict(of_first.n_features_random) == active.random_peaks_at


def test_the_table_of_cascades_has_the_random_set_behind_each(run: Run):
    found = run.table("cascades").set_index(["first_wave", "prompt_id"])
    assert dict(found.loc["minimal_set"].depth) == {"p0": 3, "p1": 1, "p2": 2, "p3": 2}
    assert set(found.loc["random"].depth) == {1}
    for place, cascades in (
        ("minimal_set", run.cascades),
        ("random", [one.cascade for one in run.cascade_nulls if one.cascade]),
    ):
        effects = {one.prompt_id: one.effects and one.effects.direct for one in cascades}
        assert dict(found.loc[place].direct_effect) == effects, place


def test_without_a_frozen_norm_the_page_says_why(tmp_path: Path):
    reason = "the final norm, LayerNorm, does not divide by the root mean square alone"
    effects = FirstWaveEffects(total=1.5, direct=2.0, direct_frozen=None)
    only = replace(
        cascade("p0", A, B), effects=effects, frozen_compensation_ratio=None, frozen_reason=reason
    )
    page = seen(render(synthetic_run(tmp_path / "run", cascades=[only])))
    assert f"No ratio with the final norm frozen: {reason}." in page


def test_a_record_older_than_these_questions_still_opens(tmp_path: Path):
    run = synthetic_run(tmp_path / "run")
    with sqlite3.connect(run.folder / "run.sqlite") as connection:
        connection.executemany("DELETE FROM records WHERE stage = ?", [(one,) for one in LATER])
    old = Run(run.folder)
    page = seen(render(old))
    assert "Refusal score after each wave" in page
    assert "Which activates which" not in page
    assert published(old).pooled_cascade is None
    assert published(old).edges == []
