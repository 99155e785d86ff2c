"""Selection of the direction, against evaluations whose answer is plain to see."""

import math

import pytest

from sae_audit.direction import DirectionEvaluation, select_direction
from sae_audit.findings import NearestDirection


def evaluation(
    layer: int = 0,
    *,
    position: int = -1,
    bypass: float = -1.0,
    induce: float = 1.0,
    kl: float = 0.0,
) -> DirectionEvaluation:
    return DirectionEvaluation(position=position, layer=layer, bypass=bypass, induce=induce, kl=kl)


def test_an_evaluation_is_written_in_its_published_order():
    assert DirectionEvaluation(-1, 17, -8.45, 1.69, 0.083) == evaluation(
        17, bypass=-8.45, induce=1.69, kl=0.083
    )


def test_the_lowest_bypass_wins():
    best = evaluation(3, bypass=-5.0)
    assert select_direction([evaluation(1), best, evaluation(2)], n_layers=10) == best


@pytest.mark.parametrize(
    "unfit",
    [
        evaluation(2, bypass=-9.0, kl=0.1001),
        evaluation(2, bypass=-9.0, induce=-0.001),
        evaluation(7, bypass=-9.0),
        evaluation(2, bypass=-9.0, kl=math.nan),
        evaluation(2, bypass=math.nan),
        evaluation(2, bypass=-math.inf),
    ],
)
def test_a_filter_beats_a_low_bypass(unfit: DirectionEvaluation):
    fit = evaluation(1)
    assert select_direction([unfit, fit], n_layers=10) == fit


def test_limits_themselves_pass():
    edge = evaluation(6, kl=0.1, induce=0.0)
    assert select_direction([edge], n_layers=10) == edge


@pytest.mark.parametrize(("n_layers", "first_cut"), [(10, 7), (26, 19), (18, 13), (32, 24), (5, 3)])
def test_the_last_fifth_of_layers_is_cut(n_layers: int, first_cut: int):
    """Of Gemma-2-2B's 26 the source discards its own from 20 up, which `resid_post` 19 is."""
    last = evaluation(first_cut - 1)
    assert select_direction([last, evaluation(first_cut, bypass=-9)], n_layers) == last


def test_gemma_2_2b_it_as_published():
    """2406.11717's pick: position -1, layer 17, bypass -8.45, induce 1.69, KL .083."""
    pick = evaluation(17, bypass=-8.45, induce=1.69, kl=0.083)
    others = [evaluation(layer, bypass=-8.0 + 0.1 * layer, kl=0.05) for layer in range(17)]
    assert select_direction([*others, pick, evaluation(21, bypass=-12)], n_layers=26) == pick


def test_ties_go_to_the_earlier_layer():
    assert select_direction([evaluation(4), evaluation(2)], n_layers=10) == evaluation(2)


def test_nothing_that_passes_is_said_with_how_near_it_came():
    far, near = evaluation(kl=0.5, induce=-2.0), evaluation(3, bypass=2.0, kl=0.2)
    found = select_direction([far, near], n_layers=10)
    assert isinstance(found, NearestDirection)
    assert found.evaluation == near, "it fails one filter, the other two"
    assert found.failed == ("KL 0.200 above 0.1 nats",)
    assert "lowest KL is 0.200 (limit 0.1 nats), the highest induced score +1.00" in found.reason


def test_the_last_layers_alone_are_no_choice():
    found = select_direction([evaluation(9)], n_layers=10)
    assert isinstance(found, NearestDirection)
    assert "lies below layer 7" in found.reason
    assert found.failed == ("layer 9, not below 7",)


def test_without_a_finite_number_there_is_no_nearest():
    found = select_direction([evaluation(kl=math.nan)], n_layers=10)
    assert isinstance(found, NearestDirection)
    assert (found.evaluation, found.failed) == (None, ())
