"""Cascades of small worlds in which it is written which activates which."""

import pytest

from sae_audit.cascade.waves import cascade
from sae_audit.config import CascadeSettings
from sae_audit.vocabulary import FeatureId
from tests.unit.cascade.world import World

A, B, C, NOISE = FeatureId(1, 0), FeatureId(2, 0), FeatureId(3, 0), FeatureId(3, 9)
SETTINGS = CascadeSettings()

CHAIN = World({A: "on", B: [{A}], C: [{A, B}], NOISE: [{A}]}, {A: 4.0, B: 3.0, C: 2.0, NOISE: 0.01})


def test_backups_behind_each_other_are_waves_behind_each_other():
    found = cascade("p", CHAIN.questions(), frozenset([A, B, C]), SETTINGS)
    assert [wave.features for wave in found.waves] == [(A,), (B,), (C,)]
    assert [round(wave.score_after, 2) for wave in found.waves] == [2.01, 1.01, -0.99]
    assert found.depth == 3
    assert found.unplaced == ()


def test_each_wave_knows_who_woke_it():
    found = cascade("p", CHAIN.questions(), frozenset([A, B, C]), SETTINGS)
    assert found.waves[1].dormant[0].activated_by == (A,)
    assert found.waves[2].dormant[0].activated_by == (A, B)
    assert found.waves[1].n_activated == 2


def test_backups_outside_the_minimal_set_are_followed_too():
    found = cascade("p", CHAIN.questions(), frozenset([A]), SETTINGS)
    assert [wave.features for wave in found.waves] == [(A,), (B,), (C,)]
    assert "none of the 1 tested" in found.stop


def test_what_wakes_without_effect_joins_no_wave():
    found = cascade("p", CHAIN.questions(), frozenset([A, B, C]), SETTINGS)
    assert NOISE not in {f for wave in found.waves for f in wave.features}


def test_without_dormant_features_there_is_one_wave_and_no_compensation():
    world = World({A: "on", B: "on"}, {A: 2.0, B: 2.0})
    found = cascade("p", world.questions(), frozenset([A, B]), SETTINGS)
    assert found.depth == 1
    assert found.stop == "no dormant feature activates"
    assert found.compensation_ratio == 0.0


def test_compensation_is_the_share_of_the_effect_that_waking_undoes():
    """Ablating A: 4 falls away, B brings 3 back; with B frozen at zero C (2) stays inactive only if B
    counts as not ablated, so it is frozen as well: direct effect 4, total 1, ratio 3/4."""
    world = World({A: "on", B: [{A}]}, {A: 4.0, B: 3.0})
    found = cascade("p", world.questions(), frozenset([A, B]), SETTINGS)
    assert found.compensation_ratio == pytest.approx(0.75)
    assert found.effects is not None
    assert (found.effects.total, found.effects.direct) == (1.0, 4.0)


def test_the_number_of_waves_is_bounded():
    found = cascade("p", CHAIN.questions(), frozenset([A]), CascadeSettings(max_waves=2))
    assert found.depth == 2
    assert "cascade.max_waves" in found.stop


def test_a_direct_effect_near_zero_gives_no_ratio():
    world = World({A: "on", B: [{A}]}, {A: 0.01, B: 1.0})
    found = cascade("p", world.questions(), frozenset([A, B]), SETTINGS)
    assert found.compensation_ratio is None
    assert "direct effect" in found.compensation_reason
    assert found.effects is not None, "in nats there is nothing to divide by"
    assert found.effects.direct == pytest.approx(0.01)


def test_what_the_final_norm_undoes_shows_in_the_frozen_ratio_alone():
    """A's 4 fall away and B brings 3 back; the frozen norm's direct effect is 5, the live one's 4:
    1 - 1/4 and 1 - 1/5."""
    world = World({A: "on", B: [{A}]}, {A: 4.0, B: 3.0}, rescaled=1.0)
    found = cascade("p", world.questions(), frozenset([A, B]), SETTINGS)
    assert found.compensation_ratio == pytest.approx(0.75)
    assert found.frozen_compensation_ratio == pytest.approx(0.8)
    assert found.frozen_reason == ""
    assert found.effects is not None
    assert found.effects.direct_frozen == pytest.approx(5.0)


def test_a_norm_that_cannot_be_frozen_is_said_and_the_live_ratio_stays():
    world = World({A: "on", B: [{A}]}, {A: 4.0, B: 3.0})
    ask = world.questions(frozen_norm_obstacle="the final norm is a LayerNorm")
    found = cascade("p", ask, frozenset([A, B]), SETTINGS)
    assert found.compensation_ratio == pytest.approx(0.75)
    assert found.frozen_compensation_ratio is None
    assert found.frozen_reason == "the final norm is a LayerNorm"
