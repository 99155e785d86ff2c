"""Selection of the direction, against evaluations whose answer is plain to see."""

import math

import pytest

from sae_audit.direction import DirectionEvaluation, select_direction


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
    assert select_direction([evaluation(1), best, evaluation(2)], n_layers=10).evaluation == best


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
    assert select_direction([unfit, fit], n_layers=10).evaluation == fit


def test_limits_themselves_pass():
    edge = evaluation(6, kl=0.1, induce=0.0)
    assert select_direction([edge], n_layers=10).evaluation == edge


@pytest.mark.parametrize(("n_layers", "first_cut"), [(10, 7), (26, 19), (18, 13), (32, 24), (5, 3)])
def test_the_last_fifth_of_layers_is_cut(n_layers: int, first_cut: int):
    """Of Gemma-2-2B's 26 the source discards its own from 20 up, which `resid_post` 19 is."""
    last = evaluation(first_cut - 1)
    assert select_direction([last, evaluation(first_cut, bypass=-9)], n_layers).evaluation == last


def test_gemma_2_2b_it_as_published():
    """2406.11717's pick: position -1, layer 17, bypass -8.45, induce 1.69, KL .083."""
    pick = evaluation(17, bypass=-8.45, induce=1.69, kl=0.083)
    others = [evaluation(layer, bypass=-8.0 + 0.1 * layer, kl=0.05) for layer in range(17)]
    found = select_direction([*others, pick, evaluation(21, bypass=-12)], n_layers=26)
    assert (found.evaluation, found.breaks, found.reason) == (pick, (), "")


def test_ties_go_to_the_earlier_layer():
    assert select_direction([evaluation(4), evaluation(2)], n_layers=10).evaluation == evaluation(2)


class TestNonePasses:
    """The best is taken all the same, marked: the limit of KL is given up first, then the floor of what
    a candidate induces, then the cut of the last layers."""

    COSTLY = evaluation(3, bypass=-4.0, kl=0.35)
    STILL = evaluation(2, bypass=-8.0, induce=-2.0)
    LATE = evaluation(9, bypass=-9.0)

    def test_the_one_that_only_costs_too_much_is_the_best(self):
        less = evaluation(1, bypass=-1.0, kl=0.2)
        found = select_direction([self.LATE, self.STILL, less, self.COSTLY], n_layers=10)
        assert found.evaluation == found.without_cost_limit == self.COSTLY
        assert found.breaks == ("costs KL 0.350 nats where 0.1 is the limit",)
        assert found.rule == "of those that pass every filter but the limit of KL"

    def test_what_is_cheapest_and_how_near_the_others_came_is_said(self):
        less = evaluation(1, bypass=-1.0, kl=0.2)
        found = select_direction([self.STILL, less, self.COSTLY], n_layers=10)
        assert found.reason == (
            "Of those outside the cut layers the lowest KL is 0.000 (limit 0.1 nats); the cheapest that "
            "takes the mean score of harmful prompts below 0 (layer 2, position -1, to -8.00) costs KL "
            "0.000 and, added, induces -2.00 (floor 0 nats)."
        )
        found = select_direction([less, self.COSTLY], n_layers=10)
        assert found.reason.endswith("(layer 1, position -1, to -1.00) costs KL 0.200.")
        found = select_direction([evaluation(1, bypass=0.5, kl=0.2)], n_layers=10)
        assert "none takes the mean score of harmful prompts below 0" in found.reason

    def test_without_it_the_lowest_bypass_outside_the_cut_layers(self):
        found = select_direction([self.LATE, evaluation(1, induce=-1.0), self.STILL], n_layers=10)
        assert found.evaluation == self.STILL
        assert found.without_cost_limit is None
        assert found.breaks == ("induces -2.00 nats where 0 is the floor",)
        assert "the highest induced score -1.00 (floor 0 nats)" in found.reason

    def test_without_that_the_lowest_bypass_of_all(self):
        found = select_direction([evaluation(8, bypass=-1.0), self.LATE], n_layers=10)
        assert found.evaluation == self.LATE
        assert "lies below layer 7" in found.reason
        assert found.breaks == ("lies at layer 9 where those from 7 on are cut",)

    def test_every_limit_that_it_breaks_is_named(self):
        found = select_direction([evaluation(9, kl=0.5, induce=-2.0)], n_layers=10)
        assert len(found.breaks) == 3

    def test_without_a_finite_number_there_is_none(self):
        found = select_direction([evaluation(kl=math.nan)], n_layers=10)
        assert (found.evaluation, found.breaks, found.without_cost_limit) == (None, (), None)


def test_what_the_limit_costs_is_the_choice_without_it():
    clean, costly = evaluation(1, bypass=-1.0), evaluation(2, bypass=-7.0, kl=0.4)
    found = select_direction([clean, costly, evaluation(3, bypass=-9.0, induce=-1.0)], n_layers=10)
    assert (found.evaluation, found.without_cost_limit, found.breaks) == (clean, costly, ())
