"""Trade-offs of steering with known answers: one knob, two, none."""

import numpy as np
import pytest

from sae_audit.direction.steering_curves import (
    Steered,
    area_between,
    difference,
    harmful_by_harmless,
    threshold_moved,
)

STRENGTHS = np.linspace(-6.0, 6.0, 7)


def steered(
    *, harmful: float = 1.0, harmless: float = 1.0, n: int = 60, seed: int = 0, noise: float = 0.0
) -> Steered:
    """Prompts whose scores grow with the strength by so much a unit."""
    draws = np.random.default_rng(seed)
    bad, good = 3.0 + draws.normal(size=n), -3.0 + draws.normal(size=n)
    own = [np.random.default_rng(seed + 1).normal(size=(7, n)) * noise for _ in range(2)]
    return Steered(
        harmful=bad + harmful * STRENGTHS[:, None] + own[0],
        harmless=good + harmless * STRENGTHS[:, None] + own[1],
    )


def test_the_curve_goes_from_nothing_refused_to_all():
    curve = harmful_by_harmless(steered())
    assert len(curve) == 101
    assert curve[-1] == 1.0
    assert (np.diff(curve) >= 0.0).all()
    # Of scores that tell the two apart, all harmful prompts are refused before any harmless one.
    assert curve[0] > 0.9


def test_the_same_trade_at_other_strengths_is_one_knob():
    one = steered()
    # As far up and down the same line, at twice the strength.
    fine = np.linspace(-6.0, 6.0, 13)
    other = Steered(
        harmful=one.harmful[3] + 1.0 * fine[::2, None], harmless=one.harmless[3] + fine[::2, None]
    )
    assert area_between(one, other) == pytest.approx(0.0, abs=1e-12)
    found = difference(one, one, n_permutations=99, seed=0)
    assert found.area == 0.0
    assert found.upper == 0.0
    assert found.p_value == 1.0


def test_a_direction_that_answers_harmful_prompts_as_it_refuses_harmless_ones_is_another_knob():
    worse = difference(
        steered(harmful=1.0, harmless=1.0), steered(harmful=-1.0), n_permutations=499, seed=0
    )
    assert worse.area > 0.3
    assert worse.p_value == pytest.approx(0.002)
    assert worse.upper > worse.area


def test_noise_alone_is_no_difference_beyond_exchange():
    p_values = [
        difference(
            steered(noise=2.0, seed=10 * i),
            Steered(
                harmful=steered(seed=10 * i).harmful
                + 2.0 * np.random.default_rng(10 * i + 7).normal(size=(7, 60)),
                harmless=steered(seed=10 * i).harmless
                + 2.0 * np.random.default_rng(10 * i + 8).normal(size=(7, 60)),
            ),
            n_permutations=99,
            seed=i,
        ).p_value
        for i in range(30)
    ]
    assert np.mean(np.array(p_values) <= 0.1) < 0.3
    assert 0.3 < np.mean(p_values) < 0.7


def test_a_moved_threshold_raises_all_scores_as_much_as_steering_does_on_average():
    one = steered(harmful=1.0, harmless=3.0)
    clean = Steered(harmful=one.harmful[[3]], harmless=one.harmless[[3]])
    moved = threshold_moved(clean, one)
    # Each kind's change, 1 and 3 a unit, is 2 on average.
    assert moved.harmful - clean.harmful == pytest.approx(
        np.broadcast_to(2.0 * STRENGTHS[:, None], one.harmful.shape)
    )
    assert moved.harmless.shape == one.harmless.shape
    # What moves all scores alike is a moved threshold itself.
    alike = steered(harmful=2.0, harmless=2.0)
    assert area_between(threshold_moved(clean, alike), alike) == pytest.approx(0.0, abs=1e-12)
