"""Smallest scales of ablations whose scale response is known."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae_audit.config import AblationScaleSettings
from sae_audit.findings import FlipScale, MinimalSet
from sae_audit.minimal.flip_scale import flip_scale
from sae_audit.vocabulary import Scaled
from tests.games import features

POOL = features(6)
SETTINGS = AblationScaleSettings()
Response = Callable[[float], float]
"""The refusal score at a scale."""


def prompt(response: Response, *, flipped: bool) -> MinimalSet:
    own = tuple(POOL[:2]) if flipped else ()
    return MinimalSet(
        prompt_id="p",
        features=own,
        search="splitting",
        clean_score=response(0.0),
        candidates_score=response(1.0),
        ablated_score=response(1.0),
        score_without=dict.fromkeys(own, 1.0),
        found_by_search=own,
        n_candidates=len(POOL),
        n_sets_scored=9,
        reason="" if flipped else "not enough",
    )


def found_for(response: Response, settings: AblationScaleSettings = SETTINGS) -> FlipScale:
    asked: list[Scaled] = []
    asking = flip_scale(prompt(response, flipped=response(1.0) < 0.0), frozenset(POOL), settings)
    try:
        scales = next(asking)
        while True:
            asked.extend(scales)
            scales = asking.send(np.array([response(one.scale) for one in scales]))
    except StopIteration as end:
        found: FlipScale = end.value
    assert found.n_sets_scored == len(asked) == len(set(asked)), "every scale is scored once"
    assert all(len(one.features) == found.n_features for one in asked)
    return found


@given(st.floats(0.001, 0.999), st.integers(1, 12), st.floats(0.001, 0.2))
def test_a_falling_score_is_bracketed_within_the_tolerance(at: float, grid: int, tolerance: float):
    """A score that crosses 0 at a known scale: the answer lies above it, and hardly so."""
    settings = AblationScaleSettings(grid=grid, tolerance=tolerance)
    found = found_for(lambda scale: at - scale, settings)
    assert found.ablated == "minimal_set"
    assert found.certified
    assert found.scale is not None
    assert found.scale_below <= at < found.scale
    assert found.scale - found.scale_below <= tolerance
    assert (found.score, found.score_below) == (at - found.scale, at - found.scale_below)


def test_the_cost_is_the_grid_and_a_few_halvings():
    """Eighths from none to the whole, whose score is known; to a 64th, three halvings."""
    found = found_for(lambda scale: 0.3 - scale)
    assert found.n_sets_scored == 8 + 3
    assert found.scale == 20 / 64
    assert found.scale_below == 19 / 64


def test_the_first_flip_counts_where_scores_do_not_fall_steadily():
    """Flips from .2 to .5 and again from .9: plain bisection would answer .9."""
    found = found_for(lambda scale: -1.0 if 0.2 < scale < 0.5 or scale > 0.9 else 1.0)
    assert found.certified
    assert found.scale == pytest.approx(0.2, abs=0.02)
    assert max(point.scale for point in found.points if point.score >= 0.0) > 0.5


def test_a_score_of_exactly_zero_has_not_flipped():
    found = found_for(lambda scale: 0.5 - scale)
    assert found.scale_below == 0.5
    assert found.score_below == 0.0


@pytest.mark.parametrize("at", [1.0, 2.7, 3.99])
def test_what_ablation_does_not_flip_is_overshot_with_all_candidates(at: float):
    found = found_for(lambda scale: at - scale)
    assert found.ablated == "candidates"
    assert found.n_features == len(POOL)
    assert found.certified
    assert found.scale is not None
    assert found.scale_below <= at < found.scale <= SETTINGS.limit


def test_what_no_dose_flips_says_so():
    found = found_for(lambda scale: 7.0 - scale)
    assert found.scale is None
    assert not found.certified
    assert (found.scale_below, found.score_below, found.score) == (4.0, 3.0, 3.0)
    assert found.n_sets_scored == 1 + SETTINGS.grid


def test_where_dose_0_flips_already_there_is_none_below():
    """With the error term dropped, scale 0 is the SAE's reconstruction: that alone may flip."""
    found = found_for(lambda scale: -0.5 - scale)
    assert found.scale == found.scale_below == 0.0
    assert found.score == found.score_below == -0.5
    assert found.certified
