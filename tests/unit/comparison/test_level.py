"""The whole list of verdicts on runs drawn at random: what it names where nothing changed, and what it
finds where something did. 1,000 pairs of each, made the same way: docs/validation.md."""

import pytest

from sae_audit.comparison import paired
from sae_audit.comparison.types import Change, Verdict
from tests.unit.comparison.drawn import CHAIN, TOPICS, Drawn, found

NAMED = {Change.LOST, Change.GAINED, Change.LOWER, Change.HIGHER}


@pytest.fixture(autouse=True)
def _without_power(monkeypatch: pytest.MonkeyPatch):
    """Power says what could have been shown and decides nothing; it takes most of the time."""
    monkeypatch.setattr(paired, "_p_by_losses", lambda *_: ())


def named(seed: int, shift: float = 0.0, n: int = 40, **changed: object) -> list[Verdict]:
    drawn = Drawn(seed, n)
    a = drawn.run(drawn.scores())
    b = drawn.run(drawn.scores(shift), **changed)  # pyright: ignore[reportArgumentType]
    return [one for one in found(a, b) if one.kind in NAMED]


def of_counts(verdicts: list[Verdict]) -> list[Verdict]:
    return [one for one in verdicts if any("margin" in name for name in one.tests)]


def share_of_runs_named(runs: int) -> float:
    return sum(bool(named(seed)) for seed in range(runs)) / runs


def test_without_a_change_hardly_any_comparison_names_one():
    """12 pairs of runs, 16 tests each: 1.3% of 1,000 named any."""
    assert share_of_runs_named(12) <= 1 / 12


@pytest.mark.slow
def test_without_a_change_at_most_five_comparisons_in_a_hundred_name_one():
    assert share_of_runs_named(60) <= 0.05


def test_margins_that_fell_are_named_and_nothing_that_follows_them():
    for seed in range(5):
        verdicts = named(seed, shift=-2.0)
        assert any(one.statement.startswith("Mean refusal score of harmful") for one in verdicts)
        assert not of_counts(verdicts)


def test_one_feature_more_in_every_set_is_found_though_margins_fell():
    runs = [of_counts(named(seed, shift=-1.0, more=1)) for seed in range(6)]
    sizes = [[one for one in run if one.statement.startswith("Size")] for run in runs]
    assert sum(bool(one) for one in sizes) >= 5
    assert {one.kind for run in sizes for one in run} == {Change.HIGHER}


def test_a_feature_that_left_all_sets_is_named_as_lost():
    runs = [named(seed, lost=CHAIN[0]) for seed in range(6)]
    lost = [[one for one in run if one.statement.startswith("Features that fewer")] for run in runs]
    assert sum(bool(one) for one in lost) >= 5
    assert all(
        one.kind is Change.LOWER and str(CHAIN[0]) in one.statement for (one,) in lost if one
    )


def test_refusal_lost_on_twelve_of_forty_prompts_is_found():
    runs = [named(seed, lose=range(12)) for seed in range(6)]
    assert sum(run[0].kind is Change.LOST for run in runs if run) >= 5


def test_four_topics_of_five_prompts_are_all_too_small_for_a_test():
    drawn = Drawn(0, n=5 * len(TOPICS))
    a = drawn.run(drawn.scores())
    b = drawn.run(drawn.scores(), lose=range(0, 20, 4))
    (small,) = [one for one in found(a, b) if one.statement.startswith("Categories too small")]
    assert small.kind is Change.TOO_FEW
    assert len(small.tests) == 2 * len(TOPICS)
    listed = small.statement.partition(": ")[2].split("; ")
    assert listed[0] == "arson (harmful) 5 and 0 of 5", "the worst loss first"
    assert [one.split(" and ")[0].split()[-1] for one in listed[1:4]] == ["5"] * 3
    assert "harmless" in listed[4]
    assert not any(one.statement.startswith("No single category") for one in found(a, b))
