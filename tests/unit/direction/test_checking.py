"""The chosen direction tried again: known effects, known residuals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sae_audit.direction.checking import (
    direction_check,
    random_directions,
    stability,
    stability_under_null,
)
from sae_audit.vocabulary import PromptEffects

HARM, NOISE_A, NOISE_B, STILL = range(4)


def residuals(n: int, harm: float, *, noise: float = 1.0, seed: int = 0) -> np.ndarray:
    """Prompts that differ along two dimensions, labels that differ along a third."""
    draws = np.random.default_rng(seed).normal(size=(n, 2)) * noise
    found = np.zeros((n, 4))
    found[:, HARM] = harm
    found[:, [NOISE_A, NOISE_B]] = draws
    return found


class TestRandomDirections:
    def drawn(self, harmful: np.ndarray, harmless: np.ndarray, n: int = 50, seed: int = 0):
        direction = np.array([5.0, 0.0, 0.0, 0.0])
        return random_directions(direction, harmful, harmless, n=n, seed=seed)

    def test_they_have_the_directions_norm_and_nothing_of_it(self):
        # Harmful prompts differ in how harmful they are: that is the direction itself.
        harmful = residuals(20, 5.0)
        harmful[:, HARM] *= np.linspace(0.0, 3.0, 20)
        found = self.drawn(harmful, residuals(30, 0.0))
        assert np.linalg.norm(found, axis=1) == pytest.approx(5.0)
        assert found[:, HARM] == pytest.approx(0.0, abs=1e-9)

    def test_they_spread_as_the_stream_does(self):
        wide = residuals(200, 0.0)
        wide[:, NOISE_A] *= 10.0
        found = np.abs(self.drawn(wide, wide, n=200)).mean(axis=0)
        assert found[NOISE_A] > 3 * found[NOISE_B] > 0.0 == found[STILL]

    def test_where_prompts_differ_by_little_else_the_direction_is_still_not_in_them(self):
        """All variation is along the direction (1, 1, 0, 0): what is left is (1, -1, 0, 0)."""
        strength = np.linspace(0.5, 1.5, 20)[:, None]
        harmful, harmless = strength * [[1.0, 1.0, 0.0, 0.0]], np.zeros((20, 4))
        direction = np.array([1.0, 1.0, 0.0, 0.0])
        found = random_directions(direction, harmful, harmless, n=9, seed=0)
        assert np.abs(found) == pytest.approx(np.tile([1.0, 1.0, 0.0, 0.0], (9, 1)))
        assert found @ direction == pytest.approx(0.0, abs=1e-9)

    def test_what_is_constant_in_every_stream_is_not_touched(self):
        harmful, harmless = residuals(20, 5.0), residuals(20, 0.0, seed=1)
        rounding = 1e-4 * np.random.default_rng(2).normal(size=20)
        for own in (harmful, harmless):
            own[:, STILL] = 1000.0 + rounding
        assert self.drawn(harmful, harmless)[:, STILL] == pytest.approx(0.0)

    def test_the_seed_decides(self):
        of = [residuals(9, 1.0), residuals(9, 0.0)]
        once, again, other = (self.drawn(*of, n=3, seed=s) for s in (0, 0, 1))
        assert (once == again).all()
        assert (once != other).any()


class TestStability:
    def test_prompts_that_do_not_differ_give_the_same_direction_again(self):
        found = stability(residuals(8, 5.0, noise=0.0), residuals(8, 0.0, noise=0.0), seed=0)
        assert (found.value, found.low, found.high) == pytest.approx((1.0, 1.0, 1.0))
        assert found.n == 16

    def test_a_direction_made_of_chance_is_not_stable(self):
        steady = stability(residuals(40, 5.0), residuals(40, 0.0, seed=1), seed=0)
        chance = stability(residuals(40, 0.0), residuals(40, 0.0, seed=1), seed=0)
        assert steady.low > 0.98
        assert chance.low < 0.6

    @settings(max_examples=20, deadline=None)
    @given(st.integers(2, 30), st.integers(2, 30), st.floats(0.0, 10.0))
    def test_it_is_a_mean_of_cosines(self, n_harmful: int, n_harmless: int, harm: float):
        found = stability(residuals(n_harmful, harm), residuals(n_harmless, 0.0, seed=1), seed=0)
        assert -1.0 <= found.low <= found.high <= 1.0 + 1e-9

    def test_labels_dealt_anew_come_half_again(self):
        """As many steps of chance in the difference as in its resamples: a cosine of root one half,
        where the stream varies in many dimensions."""
        draws = np.random.default_rng(0)
        harmful, harmless = draws.normal(size=(2, 100, 300))
        found = stability_under_null(harmful, harmless, n=10, seed=0)
        assert found.n == 10
        assert found.lowest > 0.65
        assert found.highest < 0.76
        assert found.mean == pytest.approx(np.sqrt(0.5), abs=0.02)

    def test_a_real_difference_is_beyond_labels_dealt_anew(self):
        harmful, harmless = np.random.default_rng(0).normal(size=(2, 100, 300))
        harmful[:, 0] += 10.0
        own = stability(harmful, harmless, seed=0)
        assert own.low > stability_under_null(harmful, harmless, n=10, seed=0).highest

    def test_prompts_that_do_not_differ_at_all_are_no_stable_direction(self):
        alike = np.ones((4, 3))
        assert stability(alike, alike, seed=0).value == 0.0
        assert stability_under_null(alike, alike, n=3, seed=0).highest == 0.0

    def test_two_prompts_by_hand(self):
        """One harmless prompt at 0, harmful ones at (1, 1) and (1, -1): half of the resamples take
        both, the others one twice, 45 degrees off."""
        harmful, harmless = np.array([[1.0, 1.0], [1.0, -1.0]]), np.zeros((2, 2))
        found = stability(harmful, harmless, seed=0)
        assert found.value == pytest.approx((1.0 + np.sqrt(0.5)) / 2, abs=0.01)
        assert (found.low, found.high) == pytest.approx((np.sqrt(0.5), 1.0))


class Effects:
    """The refusal direction bypasses two of three prompts; every other leaves all refused."""

    def __call__(self, direction: np.ndarray, *, layer: int) -> PromptEffects:
        assert layer == 3
        if abs(direction[HARM]) > 1e-9:
            bypass, induce, kl = [-2.0, -1.0, 0.5], [4.0, 2.0], [0.01, 0.03]
            harmless = [-5.0, 1.0]
        else:
            bypass, induce, kl = [3.0, 2.0, 4.0], [-5.0, -6.0], [0.2, 0.4]
            harmless = [-5.0, -7.0]
        return PromptEffects(
            bypass=np.array(bypass),
            induce=np.array(induce),
            harmless=np.array(harmless),
            kl=np.array(kl),
        )


def test_every_number_has_its_interval_and_its_control():
    train = residuals(10, 5.0), residuals(10, 0.0)
    direction = np.array([5.0, 0.0, 0.0, 0.0])
    randoms = random_directions(direction, *train, n=4, seed=0)
    done: list[tuple[int, int]] = []
    found = direction_check(
        direction,
        randoms,
        Effects(),
        layer=3,
        clean=([4.0, 3.0, 5.0], [-5.0, -7.0]),
        train=train,
        seed=0,
        progress=lambda now, of: done.append((now, of)),
    )
    assert (found.clean_harmful.value, found.clean_harmless.value) == (4.0, -6.0)
    assert found.bypass.own.value == pytest.approx(-2.5 / 3)
    assert found.bypass.own.low < found.bypass.own.value < found.bypass.own.high
    assert (found.bypass.random.mean, found.bypass.random.n) == (3.0, 4)
    assert found.flipped.own.value == pytest.approx(2 / 3)
    assert found.flipped.own.method == "Wilson 95%"
    assert found.flipped.random.highest == 0.0
    assert (found.induce.own.value, found.induce.random.mean) == (3.0, -5.5)
    assert (found.induced.own.value, found.induced.random.mean) == (1.0, 0.0)
    assert (found.answered.own.value, found.answered.random.mean) == (0.5, 1.0)
    assert found.kl.own.value == pytest.approx(0.02)
    assert found.kl.random.mean == pytest.approx(0.3)
    assert done == [(i, 5) for i in range(1, 6)]
