"""What the page says of edges, tokens, chance, the final norm and the way back up."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from sae_audit.findings import FirstWaveEffects
from sae_audit.pages.wording import interval, percent
from sae_audit.record.publish import published
from sae_audit.record.run import Run
from sae_audit.report.findings.cascades.counts import waking_features, wave_rows
from sae_audit.report.page import render, summary
from sae_audit.statistics import median
from tests.synthetic import A, B, C, cascade, synthetic_run
from tests.unit.report.visible import seen

LATER = ("cascades_by_chance", "edges", "waking", "pooled_cascade", "sufficiency")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("depth") / "run"
    found = [cascade("p0", A, B, C), cascade("p1", A), cascade("p2", A, B), cascade("p3", A, B)]
    return synthetic_run(folder, cascades=found)


@pytest.fixture(scope="module")
def section(run: Run) -> str:
    page = seen(render(run))
    start = page.index("\nCascades\n")
    return page[start : page.index("\nControls\n", start)]


def test_every_edge_is_shown_with_each_test_it_went_through(section: str):
    assert "| direct |" in section
    for activation in ("1.375", "1.250", "1.125"):
        assert activation in section
    assert "0 of 5" in section, "stand-ins"
    assert "11 pairs of a feature and one of a later wave" in section


def test_pooled_numbers_stand_with_interval_and_control(run: Run, section: str):
    pooled = run.pooled_cascade
    assert pooled is not None
    assert "17.000 (all cases alike)" in section, "awake, beside as many by chance"
    assert "100% [51%, 100%]" in section, "the first feature is in every first wave"
    assert "76% (all cases alike)" in section, "features that peak on the template"
    assert "24% (all cases alike)" in section, "of those that random sets wake"


def test_depth_and_compensation_stand_beside_random_sets(run: Run, section: str):
    own, random = (
        section[section.index(f"\n{name} | ") :][:400]
        for name in ("of the minimal set", "random, matched")
    )
    assert "2.000 [1.250, 2.750]" in own
    assert "75% [30%, 95%]" in own
    assert "1.000 (all cases alike)" in random
    assert "0% [0%, 49%]" in random
    assert "3.750 (all cases alike)" in random, "the score after a random first wave"
    assert "0.500 (all cases alike) | 0.250 (all cases alike)" in section, "own"
    assert "0.125 (all cases alike) | 0.333 (all cases alike)" in section, "random"
    (row,) = (row for row in summary(run) if row.question == "Are there hidden backups?")
    assert "on 3 of 4 (75% [30%, 95%]) flipped prompts" in row.answer
    assert "undoes +0.50 (all cases alike) of the first wave's direct effect of +2.00" in row.answer
    assert "compensation ratio +0.25 (all cases alike)" in row.answer
    assert "on 0% [0%, 49%], mean 1.000 (all cases alike) waves" in row.control
    assert "but +3.75 (all cases alike)" in row.control
    assert "what wakes undoes +0.12 (all cases alike)" in row.control


def test_a_pair_seen_often_has_its_share_and_its_stand_ins(section: str):
    assert "| 100% [44%, 100%] | 3 |" in section
    assert "0 of 15" in section
    assert "2 others were seen once or twice, 0 of them with an edge" in section


def test_medians_have_intervals_and_five_prompts_or_none():
    found = [cascade(f"p{i}", A, B, C) if i else cascade("p0", A, B) for i in range(5)]
    _, second, third = wave_rows(found, seed=0)
    assert second.score_after == median([1.0] * 5, seed=0)
    assert (third.n_prompts, third.score_after) == (4, None)
    by_feature = {one.feature: one for one in waking_features(found, 9, seed=0)}
    assert by_feature[B].effect == median([0.5] * 5, seed=0)
    assert by_feature[C].n_prompts == 4
    assert by_feature[C].effect is by_feature[C].pull is None


def test_the_norms_part_of_compensation_is_a_row_of_its_own(section: str):
    assert "frozen less live: what the norm undoes" in section
    assert "0.062 (all cases alike)" in section


def test_sufficiency_is_answered_beside_its_control(run: Run, section: str):
    assert "all waves of a flipped prompt" in section
    answers = {row.question: row for row in summary(run)}
    row = answers["Are the same features enough to refuse?"]
    assert "75% [70%, 80%]" in row.answer
    assert "0.375 [0.325, 0.425] nats" in row.control
    check = run.direction_check
    assert check is not None
    added = f"makes {interval(check.induced.own, percent)} of {check.induced.own.n} prompts refused"
    assert added in row.control, "the positive control"
    assert (
        f"makes {interval(check.induced.own, percent)} of {check.induced.own.n} answered" in section
    )


def test_tables_have_a_row_for_each_edge_and_each_class_of_token(run: Run):
    edges, tokens = run.table("wake_edges"), run.table("waking_tokens")
    assert edges.loc[0, "kind"] == "direct"
    assert len(tokens) == 4 * (3 + 1 + 2 + 2), "four classes, after each wave of each prompt"
    assert set(tokens.n_tokens) == {1, 3, 12, 5}
    assert set(tokens.n_features_random) == {3, 6, 30, 12}


def test_the_table_of_cascades_has_the_random_set_behind_each(run: Run):
    found = run.table("cascades").set_index(["first_wave", "prompt_id"])
    assert dict(found.loc["minimal_set"].depth) == {"p0": 3, "p1": 1, "p2": 2, "p3": 2}
    assert set(found.loc["random"].depth) == {1}
    assert set(found.loc["minimal_set"].direct_effect) == {2.0}
    assert set(found.loc["random"].direct_effect) == {0.375}


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
    assert "Score after each wave" in page
    assert "Who wakes whom" not in page
    assert published(old).pooled_cascade is None
    assert published(old).edges == []
