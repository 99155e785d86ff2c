"""Trade-offs of steering with known answers: one knob, two, none."""

import numpy as np
import pytest

from sae_audit.direction.steering_curves import (
    Difference,
    Order,
    Steered,
    difference,
    headroom,
    order_of,
    threshold_moved,
    threshold_order,
)

N = 80
STRENGTHS = np.linspace(-6.0, 6.0, 7)


def steered(
    *, gain: float = 1.0, knows: float = 0.0, apart: float = 1.5, noise: float = 0.0, seed: int = 0
) -> Steered:
    """Prompts whose scores overlap, steered at seven strengths: by `gain` nats a unit, and harmful ones
    by `knows` more at any strength but 0; the prompts are the same for any of these."""
    draws = np.random.default_rng(seed)
    harmful, harmless = apart + 2.0 * draws.normal(size=N), -apart + 2.0 * draws.normal(size=N)
    own = np.random.default_rng([seed, round(1000 * noise)]).normal(size=(2, N))
    moved = STRENGTHS[:, None] != 0.0
    return Steered(
        harmful=harmful + gain * STRENGTHS[:, None] + moved * (knows + noise * own[0]),
        harmless=harmless + gain * STRENGTHS[:, None] + moved * noise * own[1],
    )


def ordered(**how: float) -> Order:
    return order_of(steered(**how), STRENGTHS)  # pyright: ignore[reportArgumentType]


def compared(one: Order, other: Order, *, n: int = 299, seed: int = 0) -> Difference:
    found = difference(one, other, n_permutations=n, seed=seed)
    assert found is not None
    return found


def test_a_prompt_is_refused_from_where_its_score_crosses_the_threshold():
    scores = np.array(
        [
            [-1.0, 0.5, -2.0, -1.0],
            [+1.0, 1.0, -1.0, +3.0],
            [+2.0, 2.0, -0.5, -3.0],
        ]
    )
    found = order_of(Steered(harmful=scores, harmless=scores[:, :1]), np.array([0.0, 1.0, 3.0]))
    assert found.harmful.tolist() == [0.5, -np.inf, np.inf, 0.25]
    assert found.reach == (0.0, 1.0)


def test_a_direction_is_the_same_knob_as_itself():
    found = compared(ordered(), ordered())
    assert (found.area, found.gain, found.upper, found.p_value) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("gain", [0.7, 2.0, 5.0, 20.0])
def test_the_same_trade_at_other_strengths_is_one_knob(gain: float):
    found = compared(ordered(), ordered(gain=gain))
    assert found.area == pytest.approx(0.0, abs=0.005)
    assert found.p_value > 0.1


def test_a_direction_that_knows_harm_gains_and_one_that_mistakes_it_loses():
    better, worse = (compared(ordered(knows=k), ordered()) for k in (3.0, -3.0))
    assert better.gain > 0.07  # nearly all that there is room for
    assert worse.gain < -0.1
    for found in (better, worse):
        assert found.p_value <= 0.01
        assert found.upper > found.area > 0.07


def test_an_order_dealt_at_random_is_worse():
    one = ordered()
    dealt = np.random.default_rng(0).permutation(np.concatenate([one.harmful, one.harmless]))
    found = compared(Order(harmful=dealt[:N], harmless=dealt[N:]), one)
    assert found.gain < -0.2
    assert found.p_value <= 0.01


def test_noise_of_their_own_is_no_difference_beyond_exchange():
    pairs = [[ordered(noise=noise, seed=s) for noise in (1.0, 1.001)] for s in range(30)]
    p_values = np.array([compared(*one, n=99, seed=i).p_value for i, one in enumerate(pairs)])
    assert np.mean(p_values <= 0.1) <= 0.3
    assert 0.3 < p_values.mean() < 0.7


def test_a_direction_that_does_nothing_is_not_compared():
    assert difference(ordered(gain=0.0), ordered(), n_permutations=19, seed=0) is None


def test_only_shares_of_harmless_prompts_that_both_reach_are_compared():
    # Of little gain: neither the most nor the least harmless prompts come to be refused, or answered.
    found = compared(ordered(gain=0.2), ordered())
    assert 0.0 < found.over[0] < found.over[1] < 0.9
    assert found.area == pytest.approx(0.0, abs=0.01)


def test_there_is_headroom_only_if_the_kinds_overlap():
    assert headroom(ordered()) > 0.1
    assert headroom(ordered(apart=20.0, gain=9.0)) == pytest.approx(0.0, abs=1e-9)


def test_a_moved_threshold_raises_all_scores_as_much_as_steering_does_on_average():
    one = steered(gain=1.0, knows=3.0)
    clean = Steered(harmful=one.harmful[[3]], harmless=one.harmless[[3]])
    moved = threshold_moved(clean, one)
    assert moved.harmful.shape == one.harmful.shape
    assert (moved.harmful - clean.harmful)[:, 0] == pytest.approx(
        (moved.harmless - clean.harmless)[:, 0]
    )
    # What moves all scores alike is a moved threshold itself, and what knows harm is more.
    assert compared(threshold_order(clean), ordered(gain=2.0)).area == pytest.approx(0.0, abs=0.005)
    assert compared(order_of(one, STRENGTHS), threshold_order(clean)).gain > 0.07
