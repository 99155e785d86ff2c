"""Shares of what removing the direction does, from scores that are given."""

from dataclasses import replace

import numpy as np
import pytest

from sae_audit.controls.sae_coverage import layer_coverages, sae_coverage
from sae_audit.findings import Estimate, LayerCoverage, SaeCoverage
from sae_audit.sampling import enough_left
from sae_audit.vocabulary import FeatureId, Part, Projections

CLEAN = np.array([4.0, 6.0, 5.0, 5.0, 4.0, 6.0])


def replaced(part: Part, direction: int) -> np.ndarray:
    """Removing the direction takes 10 nats, what the SAEs show 8, their error terms 2; a random
    direction, or its error terms, takes as many tenths of a nat as its number."""
    if direction:
        return CLEAN - 0.1 * direction
    return CLEAN - {Part.STREAM: 10.0, Part.RECONSTRUCTION: 8.0, Part.ERROR: 2.0}[part]


def covered(candidates: np.ndarray, fall: float = 1.0) -> SaeCoverage:
    return sae_coverage(
        lambda part, direction: CLEAN + fall * (replaced(part, direction) - CLEAN),
        3,
        clean=CLEAN,
        candidates=candidates,
        random_sets=[CLEAN - 1.0, CLEAN + 1.0],
        rotated=[CLEAN - 9.0, CLEAN - 7.0],
        layers=[],
    )


def value(estimate: Estimate | None) -> float:
    assert estimate is not None
    return estimate.value


def test_shares_are_of_what_removing_the_direction_does():
    found = covered(CLEAN - 7.0)
    assert value(found.hidden_from_candidates) == pytest.approx(0.3)
    assert value(found.hidden_from_saes) == pytest.approx(0.2)
    assert value(found.carried_by_error) == pytest.approx(0.2)
    rotated = found.hidden_from_rotated
    assert rotated is not None
    assert (rotated.mean, rotated.lowest, rotated.highest) == pytest.approx((0.2, 0.1, 0.3))
    assert found.direction.value == pytest.approx(-5.0)
    assert found.reason == ""
    random = found.random_direction
    assert random is not None
    assert (random.mean, random.lowest, random.highest) == pytest.approx((0.02, 0.01, 0.03))
    assert found.random_features is not None
    assert found.random_features.highest == pytest.approx(0.1)


def test_the_interval_is_over_prompts():
    found = covered(CLEAN - np.array([10.0, 10.0, 10.0, 0.0, 0.0, 0.0])).hidden_from_candidates
    assert found is not None
    assert (found.value, found.n) == (pytest.approx(0.5), 6)
    assert -0.2 < found.low < 0.1
    assert 0.9 < found.high < 1.2


def test_too_few_prompts_give_no_share_and_a_reason():
    found = sae_coverage(
        lambda part, direction: replaced(part, direction)[:4],
        0,
        clean=CLEAN[:4],
        candidates=CLEAN[:4] - 7.0,
        random_sets=[],
        rotated=[],
        layers=[],
    )
    assert found.hidden_from_candidates is None
    assert "by 10.00 nats on 4 prompts, which are too few" in found.reason


def test_candidates_may_do_more_than_removing_the_direction():
    assert value(covered(CLEAN - 12.0).hidden_from_candidates) == pytest.approx(-0.2)


@pytest.mark.parametrize("fall", [0.0, 0.005, -1.0])
def test_without_a_fall_there_is_no_share_and_a_reason(fall: float):
    found = covered(CLEAN - 7.0, fall)
    assert found.hidden_from_candidates is None
    assert found.hidden_from_saes is None
    assert found.carried_by_error is None
    assert found.random_direction is None
    assert found.random_features is None
    assert "removing the direction" in found.reason


def projections(n: int, gap: float, *, share: float, follows: float, seed: int) -> Projections:
    """Along the direction a gap, `share` of it in the reconstruction; along a random one the
    reconstruction follows by `follows`."""
    draws = np.random.default_rng(seed)
    along, random = gap + 0.1 * draws.normal(size=n), 7.0 + draws.normal(size=n)
    return Projections(
        stream=np.stack([along, random], axis=1),
        reconstruction=np.stack([share * along + 5.0, follows * random - 3.0], axis=1),
        length=10.0,
    )


def layers_covered(
    harmful: dict[int, Projections], harmless: dict[int, Projections]
) -> list[LayerCoverage]:
    rows = np.array([[0.9, 0.1, 0.5, -1.0], [0.2, 0.4, -0.3, 0.0]])
    return layer_coverages(harmful, harmless, dict.fromkeys(harmful, rows), per_layer=2, seed=0)


def test_the_nearest_rows_stand_beside_those_nearest_a_random_direction():
    both = [projections(40, 4.0, share=0.75, follows=0.4, seed=seed) for seed in (0, 1)]
    (found,) = layers_covered({3: both[0]}, {3: both[1]})
    assert found.nearest_rows == pytest.approx(0.7)
    assert found.nearest_rows_random.mean == pytest.approx(0.3)


def test_like_stands_beside_like():
    """The slope of the direction beside that of random ones, its gap beside theirs."""
    harmful = projections(40, 4.0, share=0.75, follows=0.4, seed=0)
    harmless = projections(40, 0.0, share=0.75, follows=0.4, seed=1)
    (found,) = layers_covered({0: harmful}, {0: harmless})
    assert found.slope == pytest.approx(0.75)
    assert found.random is not None
    assert found.random.highest == pytest.approx(0.4)
    apart = harmful.stream[:, 1].mean() - harmless.stream[:, 1].mean()
    assert found.gap_random.mean == pytest.approx(apart)


def test_a_layers_share_of_the_gap():
    harmful = projections(40, 4.0, share=0.75, follows=0.4, seed=0)
    harmless = projections(40, 0.0, share=0.75, follows=0.4, seed=1)
    (found,) = layers_covered({6: harmful}, {6: harmless})
    assert found.layer == 6
    assert found.gap.low < 4.0 < found.gap.high
    assert found.gap.n == 80
    assert value(found.in_reconstruction) == pytest.approx(0.75)
    assert value(found.in_error) == pytest.approx(0.25)
    assert found.random is not None
    assert found.random.mean == pytest.approx(0.4)


def test_what_moves_the_whole_and_not_the_reconstruction_widens_the_interval():
    harmful = projections(40, 4.0, share=0.75, follows=0.4, seed=0)
    noisy = Projections(
        stream=harmful.stream,
        reconstruction=harmful.reconstruction + np.random.default_rng(2).normal(size=(40, 1)),
        length=10.0,
    )
    harmless = projections(40, 0.0, share=0.75, follows=0.4, seed=1)
    (sure,) = layers_covered({0: harmful}, {0: harmless})
    (unsure,) = layers_covered({0: noisy}, {0: harmless})
    assert _width(unsure.in_reconstruction) > 10 * _width(sure.in_reconstruction)
    assert _width(unsure.in_error) == pytest.approx(_width(unsure.in_reconstruction))


def test_no_gap_has_no_share():
    both = [projections(40, 0.0, share=0.75, follows=0.4, seed=seed) for seed in (0, 1)]
    (found,) = layers_covered({0: both[0]}, {0: both[1]})
    assert found.gap.low < 0.0 < found.gap.high
    assert found.in_reconstruction is None
    assert found.in_error is None


def test_rounding_is_no_gap_and_no_variation():
    """Streams so long that float32 knows these components, of about 1, to no digit."""
    both = [projections(40, gap, share=0.75, follows=0.4, seed=0) for gap in (4.0, 0.0)]
    harmful, harmless = (replace(one, length=1e6) for one in both)
    (found,) = layers_covered({0: harmful}, {0: harmless})
    assert found.in_reconstruction is None
    assert found.random is None


def test_random_sets_need_as_many_other_features_in_every_layer():
    rates = {0: np.zeros(4), 1: np.zeros(3)}
    two = frozenset({FeatureId(0, 0), FeatureId(0, 1)})
    assert enough_left(two | {FeatureId(1, 0)}, rates)
    assert not enough_left(two | {FeatureId(0, 2)}, rates)
    assert not enough_left(two | {FeatureId(1, 0), FeatureId(1, 1)}, rates)


def _width(estimate: Estimate | None) -> float:
    assert estimate is not None
    return estimate.high - estimate.low
