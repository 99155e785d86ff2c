"""The smallest change that is said to be found is found as often as is said, by the test itself."""

import numpy as np
import pytest

from sae_audit.comparison.power import POWER, smallest_shift, smallest_switching_share
from sae_audit.comparison.testing import sign_flips, smallest_p, switches_p_value
from sae_audit.config import EvidenceSettings
from sae_audit.planning.evidence import CategorySize, evidence_of
from sae_audit.statistics import sign_flip_p_value


def found_share(share: float, n: int, level: float, runs: int = 2000) -> float:
    """How often the test finds a loss of this probability on each of `n` prompts."""
    lost = np.random.default_rng(0).binomial(n, share, runs)
    finds = [switches_p_value(k, 0) <= level for k in range(n + 1)]
    return float(np.mean([finds[k] for k in lost]))


@pytest.mark.parametrize(("n", "level"), [(20, 0.05), (40, 0.05 / 8), (100, 0.05 / 16), (9, 0.005)])
def test_a_loss_of_the_stated_share_is_found_as_often_as_stated(n: int, level: float):
    share = smallest_switching_share(n, level)
    assert share is not None
    assert found_share(share, n, level) == pytest.approx(POWER, abs=0.03)
    assert found_share(0.7 * share, n, level) < 0.65, "a smaller one is not"


@pytest.mark.parametrize(("n", "level"), [(8, 0.01), (12, 0.005), (16, 0.00625), (40, 0.00625)])
def test_a_shift_of_the_stated_size_is_found_as_often_as_stated(n: int, level: float):
    """By the comparison's own test, on 300 draws: three standard errors are .07."""
    shift = smallest_shift(n, level)
    assert shift is not None
    draws = np.random.default_rng(1).normal(size=(300, n))

    def found(by: float) -> float:
        signs = sign_flips(n, 5, n_random=2000)
        own = draws + by
        p_values = (np.abs(own @ signs.T) >= np.abs(own.sum(axis=1))[:, None] - 1e-9).mean(axis=1)
        return float((p_values <= level).mean())

    assert found(shift) == pytest.approx(POWER, abs=0.07)
    assert found(0.6 * shift) < 0.6, "a smaller one is not"


def test_simulated_and_computed_power_meet():
    below, above = smallest_shift(15, 0.00625), smallest_shift(16, 0.00625)
    assert below is not None
    assert above is not None
    assert below == pytest.approx(above, rel=0.08)


@pytest.mark.parametrize(("n", "level"), [(5, 0.05), (6, 0.05), (7, 0.01), (8, 0.01), (8, 0.00625)])
def test_what_no_result_can_show_has_no_smallest_change(n: int, level: float):
    shows = smallest_p(n) <= level
    assert (smallest_switching_share(n, level) is not None) == shows
    assert (smallest_shift(n, level) is not None) == shows


def test_the_real_test_draws_the_same_line():
    """The instance behind the simulation: nine differences that are all alike, and eight."""
    assert sign_flip_p_value(np.ones(9), seed=0) == smallest_p(9) < 0.005 < smallest_p(8)


EVIDENCE = EvidenceSettings(null_pools=49, null_dictionaries=19)


class TestBeforeAnAudit:
    def test_the_nulls_alone_decide_how_small_a_p_they_give(self):
        found = evidence_of(40, (), EVIDENCE)
        assert (found.smallest_p_of_pools, found.smallest_p_of_dictionaries) == (0.02, 0.05)
        without = evidence_of(40, (), EvidenceSettings(null_dictionaries=0))
        assert without.smallest_p_of_dictionaries is None

    def test_more_prompts_show_smaller_losses(self):
        found = evidence_of(40, (), EVIDENCE)
        assert [row.n for row in found.sizes] == [20, 40, 100]
        losses = [row.smallest_loss for row in found.sizes]
        assert losses == sorted(losses, key=lambda loss: -(loss or 1.0))
        assert losses[1] == smallest_switching_share(40, 0.05 / 8)
        assert [row.is_planned for row in found.sizes] == [False, True, False]
        assert found.n_tests == 8

    def test_a_size_of_its_own_has_its_row(self):
        assert [row.n for row in evidence_of(30, (), EVIDENCE).sizes] == [20, 30, 40, 100]

    def test_five_prompts_a_category_are_said_to_be_too_few(self):
        small = [CategorySize(label="harmful", category=f"c{i}", n=5) for i in range(8)]
        large = CategorySize(label="harmless", category="large", n=12)
        found = evidence_of(40, [*small, large], EVIDENCE)
        assert set(found.untested) == set(small)
        assert found.n_tests == 9
        assert {row.smallest_category for row in found.sizes} == {9}

    def test_four_prompts_show_nothing_and_that_is_said(self):
        (planned,) = [row for row in evidence_of(4, (), EVIDENCE).sizes if row.is_planned]
        assert (planned.smallest_loss, planned.smallest_loss_half, planned.smallest_shift) == (
            None,
            None,
            None,
        )
        assert evidence_of(4, (), EVIDENCE).n_tests == 0
