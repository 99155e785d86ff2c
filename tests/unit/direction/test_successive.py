"""Directions behind the refusal direction, in models whose directions are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Bool, Float

from sae_audit.config import DirectionSettings
from sae_audit.direction.successive import (
    SuccessiveQuestions,
    TreatedAsLabelled,
    Units,
    directions_needed,
    successive_directions,
)
from sae_audit.findings import (
    Controlled,
    Direction,
    DirectionCheck,
    DirectionEvaluation,
    Estimate,
    NoDirection,
    RandomRange,
    SuccessiveDirections,
)
from sae_audit.vocabulary import Removed
from tests.synthetic.findings import BY_BYPASS

D_MODEL = 16


class Waterfall:
    """Prompts that refuse along the first axis that is left, each with axes of its own in a row."""

    def __init__(
        self, depths: list[int], *, answers_above: int | None = None, clean_below: int = 9
    ) -> None:
        self.depths = np.array(depths)
        self.answers_above, self.clean_below = answers_above, clean_below

    def removed(self, split: str, units: Units) -> Removed:
        assert split in ("train", "validation", "audit")
        np.testing.assert_allclose(units @ units.T, np.eye(len(units)), atol=1e-9)
        axes_out = np.linalg.norm(units[:, : max(self.depths) + 1], axis=0) > 0.99
        n_out = int(np.argmin([*axes_out, False]))
        return Removed(
            harmful=np.where(self.depths > n_out, 2.0, -2.0),
            harmless=np.full(5, -1.0),
            kl=np.full(5, 0.1 * len(units)),
        )

    def behind(
        self, units: Units, train: TreatedAsLabelled, validation: TreatedAsLabelled
    ) -> Direction | NoDirection:
        assert validation.enough
        # Still refused at 2, still answered at -1; those no longer refused have no part in it.
        assert validation.halfway == 0.5
        self.seen: Bool[np.ndarray, " harmful"] = train.harmful
        if self.answers_above is not None and len(units) >= self.answers_above:
            return NoDirection(
                method="difference_of_means",
                selection=BY_BYPASS,
                reason="nothing passes",
                evaluations=(),
                clean_harmful=1.0,
                clean_harmless=-1.0,
                n_train=(2, 2),
                n_validation=(2, 2),
            )
        # Not at right angles to what is out: rounding, in a model of low precision.
        breaks = () if len(units) < self.clean_below else ("costs KL 2 nats",)
        vector = np.eye(D_MODEL)[len(units)] + 0.01 * units.sum(axis=0)
        return direction(vector, breaks=breaks)

    def run(self, *, breaks: tuple[str, ...] = (), **settings: object) -> SuccessiveDirections:
        first = direction(np.eye(D_MODEL)[0], breaks=breaks)
        found, self.units = successive_directions(
            first,
            check(),
            SuccessiveQuestions(
                prompt_ids=[f"p{i}" for i in range(len(self.depths))],
                removed=self.removed,
                behind=self.behind,
                randoms=lambda n_out: random_tail(seed=n_out),
            ),
            DirectionSettings.model_validate(settings),
            progress=lambda *_: None,
        )
        return found


def direction(vector: Float[np.ndarray, " d_model"], *, breaks: tuple[str, ...] = ()) -> Direction:
    return Direction(
        method="difference_of_means",
        selection=BY_BYPASS,
        selected=DirectionEvaluation(position=-1, layer=3, bypass=-1.0, induce=1.0, kl=0.0),
        breaks=breaks,
        unclean="not cleanly" if breaks else "",
        without_kl_limit=None,
        removed=None,
        weak=False,
        evaluations=(),
        vector=tuple((5.0 * vector).tolist()),
        clean_harmful=2.0,
        clean_harmless=-1.0,
        n_train=(4, 5),
        n_validation=(4, 5),
    )


def random_tail(*, seed: int) -> Float[np.ndarray, "draw d_model"]:
    """Two draws that refusal does not run along."""
    drawn = np.zeros((2, D_MODEL))
    drawn[:, 8:] = np.random.default_rng(seed).normal(size=(2, 8))
    return drawn


def check() -> DirectionCheck:
    one = Estimate(value=0.5, low=0.4, high=0.6, n=4, method="by hand")
    random = RandomRange(mean=0.1, lowest=0.0, highest=0.25, n=2)
    both = Controlled(own=one, random=random)
    return DirectionCheck(
        clean_harmful=one,
        clean_harmless=one,
        bypass=both,
        removed=both,
        flipped=both,
        induce=both,
        induced=both,
        answered=both,
        kl=both,
        stability=both,
    )


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_as_many_directions_are_found_as_refusal_runs_along(depth: int):
    model = Waterfall([depth] * 6)
    found = model.run()
    assert len(found.directions) == depth
    assert (found.depth.value, found.depths, found.n_beyond) == (depth, {depth: 6}, 0)
    assert [one.refused.own.value for one in found.directions] == [1.0] * (depth - 1) + [0.0]
    np.testing.assert_allclose(abs(model.units), np.eye(D_MODEL)[:depth], atol=1e-9)


def test_each_prompt_counts_the_directions_that_it_needs():
    found = Waterfall([1, 2, 2, 3]).run(until_refused=0.0)
    assert found.needed == {"p0": 1, "p1": 2, "p2": 2, "p3": 3}
    assert found.depths == {1: 1, 2: 2, 3: 1}
    assert found.depth.value == pytest.approx(2.0)
    assert found.depth.low < 2.0 < found.depth.high


def test_the_next_direction_is_sought_on_what_is_still_refused():
    model = Waterfall([1, 2, 2, 3])
    model.run(max_directions=2)
    assert model.seen.tolist() == [False, True, True, True]


def test_random_directions_stand_beside_every_step():
    found = Waterfall([3] * 6).run()
    first, *others = [one.refused.random for one in found.directions]
    # The first step's were tried in the direction's own check: 10% flipped on average, 25% at most.
    assert (first.mean, first.lowest, first.highest) == (0.9, 0.75, 1.0)
    assert all(one.mean == 1.0 and one.n == 2 for one in others)


def test_it_says_why_it_ends():
    assert "until_refused" in Waterfall([2] * 6).run().stop
    assert "max_directions" in Waterfall([4] * 6).run(max_directions=3).stop
    assert Waterfall([4] * 6, answers_above=2).run().stop == "nothing passes"
    assert "too few" in Waterfall([1, 1, 1, 1, 2]).run(until_refused=0.1).stop


def test_one_that_is_not_clean_is_no_further_direction():
    found = Waterfall([4] * 6, clean_below=2).run()
    assert (len(found.directions), found.stop) == (2, "not cleanly")


def test_a_first_one_that_is_not_clean_is_followed_all_the_same():
    found = Waterfall([3] * 6).run(breaks=("costs KL 0.35 nats where 0.1 is the limit",))
    assert found.depths == {3: 6}


def test_prompts_beyond_the_last_direction_are_counted_as_one_more_and_told():
    found = Waterfall([4] * 6).run(max_directions=3)
    assert (found.depths, found.n_beyond) == ({4: 6}, 6)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8))
def test_a_prompt_needs_what_first_stops_its_refusal(needs: list[int]):
    n_out = np.arange(1, 5)[:, None]
    scores = np.where(n_out < np.array(needs), 1.0, -1.0)
    assert directions_needed(scores) == needs
