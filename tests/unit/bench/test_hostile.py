"""Claims fall on models of which they are false by construction, and stand on their true twins."""

from pathlib import Path

import pytest

from sae_audit.bench import hostile
from sae_audit.bench.hostile import (
    LOST,
    Kind,
    Trial,
    hostile_rows,
    lost_refusal,
    rows_of,
    trial,
)
from sae_audit.bench.stored import Stored
from sae_audit.findings import ClaimAbout, PromptScore


def made(kind: Kind, seed: int, stands: bool) -> Trial:
    return Trial(
        kind=kind,
        seed=seed,
        stands={str(about): stands for about in kind.about},
        reasons={str(about): "Because." for about in kind.about},
        seconds=2.0,
    )


def test_every_claim_has_hostile_kinds_and_a_true_twin():
    for claim in hostile._CLAIMS:
        truths = {kind.is_true for kind in Kind if claim in map(str, kind.about)}
        assert truths == {True, False}, claim


def test_a_claim_that_stands_on_a_hostile_model_is_counted_apart_from_its_twins():
    rows = rows_of(
        [
            made(Kind.TOPIC, 0, stands=True),
            made(Kind.TOPIC, 1, stands=False),
            made(Kind.HARM, 0, stands=True),
            made(Kind.BACKUPS, 0, stands=True),
        ]
    )
    assert [(r.claim, r.models, r.is_true, r.stands.value, r.stands.n) for r in rows] == [
        ("backups", Kind.BACKUPS, True, 1.0, 1),
        ("directions_behind", Kind.BACKUPS, True, 1.0, 1),
        ("harm", Kind.TOPIC, False, 0.5, 2),
        ("harm", Kind.HARM, True, 1.0, 1),
    ]


def test_seventy_three_models_without_an_alarm_show_a_rate_of_at_most_five_percent():
    (row,) = rows_of([made(Kind.TOPIC, seed, stands=False) for seed in range(73)])
    assert row.stands.high <= 0.0501
    (fewer,) = rows_of([made(Kind.TOPIC, seed, stands=False) for seed in range(60)])
    assert fewer.stands.high > 0.05


def test_finished_models_are_not_planted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[Kind, int]] = []

    def planted(kind: Kind, seed: int) -> Trial:
        asked.append((kind, seed))
        return made(kind, seed, stands=kind.is_true)

    monkeypatch.setattr(hostile, "trial", planted)
    first = hostile_rows(1, tmp_path, lambda *_: None)
    assert asked == [(kind, 0) for kind in Kind]
    assert hostile_rows(1, tmp_path, lambda *_: None) == first
    assert len(asked) == len(Kind)
    (tmp_path / "TOPIC-0.json").write_text("{}")
    assert hostile_rows(1, tmp_path, lambda *_: None) == first
    assert asked[len(Kind) :] == [(Kind.TOPIC, 0)], "a broken file is made anew"


def test_what_other_settings_made_is_not_read(tmp_path: Path):
    assert Stored[int](tmp_path, int, settings="a").kept("x", lambda: 1) == 1
    assert Stored[int](tmp_path, int, settings="a").kept("x", lambda: 2) == 1
    assert Stored[int](tmp_path, int, settings="b").kept("x", lambda: 3) == 3


def scored(scores: list[float]) -> list[PromptScore]:
    return [
        PromptScore(prompt_id=f"{label}{i}", split="audit", label=label, category="", score=score)
        for label in ("harmful", "harmless")
        for i, score in enumerate(scores if label == "harmful" else [-2.0] * len(scores))
    ]


@pytest.mark.parametrize(("n_lost", "stands"), [(0, False), (4, False), (12, True)])
def test_a_loss_is_named_if_enough_prompts_lose_refusal(n_lost: int, stands: bool):
    before, after = [2.0] * 20, [-1.0] * n_lost + [2.0] * (20 - n_lost)
    assert lost_refusal(scored(before), scored(after))[0] is stands
    assert not lost_refusal(scored(after), scored(before))[0], "gained, not lost"


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Kind.UNREAD, Kind.TOPIC, Kind.WORD, Kind.SAME])
def test_claims_fall_on_hostile_models(kind: Kind):
    found = trial(kind, 0)
    assert set(found.stands) == set(map(str, kind.about))
    assert not any(found.stands.values()), found.reasons


@pytest.mark.slow
def test_claims_fall_on_additive_units_behind_a_saturating_read_out():
    found = trial(Kind.ADDITIVE, 0)
    assert not any(found.stands.values()), found.reasons
    assert "one is named on 0 of 6" in found.reasons[ClaimAbout.PAIRS], "pairs were fitted"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "claim"),
    [
        (Kind.BACKUPS, ClaimAbout.BACKUPS),
        (Kind.HARM, ClaimAbout.HARM),
        (Kind.LESS, LOST),
    ],
)
def test_true_claims_stand_by_the_same_settings(kind: Kind, claim: str):
    found = trial(kind, 0)
    assert found.stands[claim], found.reasons
