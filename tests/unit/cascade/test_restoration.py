"""Backups are claimed where it is written that what activates restores refusal, and nowhere else."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from sae_audit.cascade.compensation import held_at_zero
from sae_audit.cascade.pooled import pooled_cascade
from sae_audit.cascade.restoration import State, restoration
from sae_audit.cascade.waves import cascade
from sae_audit.config import CascadeSettings
from sae_audit.findings import BackupsClaim, Cascade, PooledCascade, Restoration
from sae_audit.vocabulary import FeatureId, FeatureSet
from tests.unit.cascade.world import World

A, B, C = FeatureId(0, 0), FeatureId(1, 0), FeatureId(2, 0)
FIRST = [FeatureId(0, 10 + i) for i in range(4)]
SECOND = [FeatureId(1, 10 + i) for i in range(4)]
"""Active all along, in the layers of A and of B."""
OTHERS = [*FIRST, *SECOND]
SETTINGS = CascadeSettings(stand_in_sets=39, stand_in_tests=2)


def world(backup: float, *, others: float = 0.1, pushes: float | None = None) -> World:
    """A holds up refusal; B activates once A is ablated; the others are active all along."""
    return World(
        {A: "on", B: [{A}], **dict.fromkeys(OTHERS, "on")},
        {A: 4.0, B: backup, **dict.fromkeys(OTHERS, others)},
        pushes={B: backup if pushes is None else pushes},
    )


def followed(one: World, prompt_id: str = "p", **asked: object) -> tuple[Cascade, Restoration]:
    minimal: FeatureSet = frozenset([A])
    found = cascade(prompt_id, one.questions(), minimal, SETTINGS)
    settings = SETTINGS.model_copy(update=asked)
    pooled = frozenset([A, B])
    return found, restoration(
        found,
        one.questions(),
        one.activations,
        minimal,
        settings,
        candidates=minimal,
        pooled=pooled,
        seed=0,
    )


def over_prompts(one: World, n: int = 8) -> PooledCascade:
    both = [followed(one, f"p{i}") for i in range(n)]
    cascades, restored = [found for found, _ in both], [found for _, found in both]
    return pooled_cascade(cascades, [], [], [], restored, min_effect=0.1, seed=0)


def claim(one: World, n: int = 8) -> BackupsClaim:
    return over_prompts(one, n).backups


class TestClaim:
    def test_a_backup_that_restores_refusal_is_one(self):
        found = claim(world(3.0))
        assert found.stands, found.reason
        assert "no unrelated ones bring the score as low): " in found.reason
        assert "+3.00" in found.reason
        assert (found.p, found.n) == (pytest.approx(1 / 40), 8)
        assert "39 sets" in found.beside

    def test_where_unrelated_features_bring_the_score_as_low_it_is_beyond_both(self):
        found = claim(world(3.0, others=0.9))
        assert found.stands
        assert "beyond both controls" in found.reason
        assert "on 8 of 8 prompts" in found.beside

    def test_what_activates_and_restores_nothing_is_none(self):
        found = claim(world(0.0))
        assert not found.stands
        assert "does not restore refusal" in found.reason

    def test_less_than_one_feature_must_do_restores_nothing(self):
        assert "does not restore refusal" in claim(world(0.09, others=0.001)).reason
        assert claim(world(0.11, others=0.001)).stands

    def test_what_activates_and_helps_the_ablation_is_none(self):
        found = claim(world(-1.0))
        assert not found.stands
        assert "helps the ablation" in found.reason
        assert "raises the score by 1.00" in found.reason

    def test_an_additive_model_has_none(self):
        found = claim(
            World({A: "on", **dict.fromkeys(OTHERS, "on")}, dict.fromkeys((A, *OTHERS), 2.0))
        )
        assert not found.stands
        assert found.reason == "No dormant feature activates once the first wave is ablated."

    def test_what_restores_no_more_than_features_active_all_along_is_none(self):
        """The score is near 0, where others of the same layer and attribution do as much."""
        found = claim(world(0.5, others=0.5))
        assert not found.stands
        assert "features active all along hold up as much" in found.reason
        assert found.p == 1.0

    def test_what_restores_no_more_than_at_the_same_score_is_none(self):
        """Ablating the others one by one activates a feature of each that restores as much."""
        theirs = {FeatureId(3, i): one for i, one in enumerate(OTHERS)}
        bare = world(0.5, others=0.4, pushes=-5.0)
        every = World(
            {**bare.activates, **{own: [{other}] for own, other in theirs.items()}},
            {**bare.strength, **dict.fromkeys(theirs, 0.4)},
            pushes=bare.pushes,
        )
        found = over_prompts(every)
        assert not found.backups.stands
        assert found.restoration is not None
        assert found.restoration.same_score is not None
        assert found.restoration.same_score.restored.value > 0.5
        assert "once unrelated features bring the score as low" in found.backups.reason

    def test_four_prompts_are_too_few(self):
        assert "4 prompts, too few" in claim(world(3.0), 4).reason
        assert claim(world(3.0), 5).stands

    def test_without_stand_ins_nothing_is_claimed(self):
        bare = World({A: "on", B: [{A}], FIRST[0]: "on"}, {A: 4.0, B: 3.0, FIRST[0]: 0.1})
        assert "No feature that was active all along" in claim(bare).reason

    def test_without_unrelated_features_nothing_is_claimed(self):
        both = [followed(world(3.0), f"p{i}") for i in range(8)]
        restored = [replace(one, same_score=None) for _, one in both]
        found = pooled_cascade(
            [one for one, _ in both], [], [], [], restored, min_effect=0.1, seed=0
        )
        assert "No unrelated feature fires" in found.backups.reason

    def test_where_nothing_was_measured_nothing_is_claimed(self):
        both = [followed(world(3.0), f"p{i}") for i in range(8)]
        restored = [replace(one, restored=None) for _, one in both]
        found = pooled_cascade(
            [one for one, _ in both], [], [], [], restored, min_effect=0.1, seed=0
        )
        assert (found.backups.stands, found.backups.n) == (False, 0)


class TestOnePrompt:
    def test_restored_is_the_fall_with_all_that_activates_held(self):
        found, one = followed(world(3.0))
        assert one.restored == pytest.approx(3.0)
        assert found.held == ((B,),)
        assert (one.n_held, one.n_stand_ins, one.direct_attribution) == (1, 1, 3.0)

    def test_stand_ins_are_of_the_same_layer_and_nearest_in_attribution(self):
        """Five of B's layer are nearest; those of A's layer never stand in, though they push alike."""
        pushes = {B: 2.0} | dict.fromkeys(FIRST, 2.0) | {f: 0.5 + i for i, f in enumerate(SECOND)}
        bare = world(3.0)
        _, one = followed(replace(bare, pushes=pushes))
        (tested,) = one.stand_in_tests
        assert tested.features == (B,)
        assert tested.stand_ins == (SECOND[1],), "pushes 1.5, as near as 2.5; the first of two"
        assert tested.effects == (pytest.approx(3.0),)
        assert tested.effects_stand_ins == (pytest.approx(0.1),)
        assert set(one.stand_in_attributions) <= {0.5, 1.5, 2.5, 3.5}
        assert len(set(one.stand_in_attributions)) > 1, "drawn anew for each set"
        assert one.stand_in_sets == pytest.approx([0.1] * 39)

    def test_a_feature_that_falls_silent_is_no_stand_in(self):
        silenced = replace(world(3.0), driven_by=dict.fromkeys(SECOND[:3], A))
        _, one = followed(silenced)
        assert one.stand_in_tests[0].stand_ins == (SECOND[3],)

    def test_unrelated_features_are_ablated_until_the_score_is_as_low(self):
        """The minimal set leaves 3 + 8 * .9 - 1; five of the others, .9 each, must go to fall by 4."""
        one = followed(world(0.0, others=0.9))[1].same_score
        assert one is not None
        assert one.reached
        assert one.n_ablated in (5, 6), "by the sizes tried"
        assert one.restored == 0.0

    def test_if_they_cannot_all_of_them_are_ablated(self):
        one = followed(world(3.0))[1].same_score
        assert one is not None
        assert (one.reached, one.n_ablated) == (False, len(OTHERS))
        assert one.score == pytest.approx(3.0), "A's 4, less the constant"

    def test_candidates_are_not_unrelated(self):
        minimal: FeatureSet = frozenset([A])
        bare = world(3.0)
        found = cascade("p", bare.questions(), minimal, SETTINGS)
        one = restoration(
            found,
            bare.questions(),
            bare.activations,
            minimal,
            SETTINGS,
            candidates=frozenset([A, *OTHERS]),
            seed=0,
        )
        assert one.same_score is None

    def test_the_same_prompt_draws_the_same(self):
        assert followed(world(3.0)) == followed(world(3.0))
        drawn = {followed(world(3.0), f"p{i}")[1].stand_in_tests[0].stand_ins for i in range(9)}
        assert len(drawn) == 1, "one by one, the nearest"

    def test_the_pooled_set_without_what_is_dormant(self):
        one = followed(world(3.0))[1].pooled_set
        assert one is not None
        assert one.n_dormant == 1
        assert (one.score, one.score_without) == (pytest.approx(-0.2), pytest.approx(2.8))


class TestNecessity:
    def test_a_flip_that_fails_without_the_dormant_features(self):
        """A and B flip; A alone leaves 3 + .8 - 1."""
        found = over_prompts(world(3.0)).necessity
        assert (found.n_with_dormant, found.needed.value, found.needed.n) == (8, 1.0, 8)
        assert (found.n_pooled, found.n_pooled_needed) == (8, 8)

    def test_a_flip_that_does_not(self):
        """A alone leaves .5 + .2 - 1, which flips; B joins a wave all the same."""
        found = over_prompts(world(0.5, others=0.025)).necessity
        assert (found.n_with_dormant, found.needed.value) == (8, 0.0)
        assert (found.n_pooled, found.n_pooled_needed) == (8, 0)


class TestSwitchedOff:
    @pytest.fixture
    def driven(self) -> World:
        """A's output does not reach C; B's, once B activates, does, and keeps C firing."""
        activates = {A: "on", B: [{A}], C: "on", **dict.fromkeys(OTHERS, "on")}
        return World(activates, dict.fromkeys(activates, 1.0) | {A: 4.0, B: 3.0})

    def test_features_of_the_first_wave_that_the_later_ones_switch_off(self, driven: World):
        minimal: FeatureSet = frozenset([A, C])
        silenced = replace(driven, activates={**driven.activates, C: [{A}, {A, B}]})
        for one, off in ((driven, 0), (replace(silenced, driven_by={C: B}), 1)):
            found = cascade("p", one.questions(), minimal, SETTINGS, silent_act=True)
            restored = restoration(
                found,
                one.questions(),
                one.activations,
                minimal,
                SETTINGS,
                candidates=minimal,
                seed=0,
            )
            assert restored.switched_off is not None
            assert (restored.switched_off.n_features, restored.switched_off.n_off) == (2, off)
            assert restored.switched_off.n_weaker == off

    def test_one_wave_switches_nothing_off(self):
        bare = World({A: "on", **dict.fromkeys(OTHERS, "on")}, dict.fromkeys((A, *OTHERS), 2.0))
        assert followed(bare)[1].switched_off is None


def test_negative_direct_attribution_is_tested_too():
    """B pushes away from the direction and restores refusal all the same: through others."""
    found, _ = followed(world(3.0, pushes=-2.0))
    assert found.depth == 2
    assert found.waves[1].dormant[0].direct_attribution == -2.0
    assert found.tests[0].direct_attributions == (-2.0,)


def test_what_rounding_makes_fire_is_not_tested():
    found, _ = followed(replace(world(3.0), rounding=frozenset([B])))
    assert (found.depth, found.stop) == (1, "no dormant feature activates")


def test_rounds_of_holding_end_when_nothing_else_activates():
    """C activates only once A and B are silent: a second round."""
    chain: Mapping[FeatureId, float] = {A: 4.0, B: 3.0, C: 2.0}
    one = World({A: "on", B: [{A}], C: [{A, B}]}, chain)
    rounds = held_at_zero(one.fired, frozenset([A]), {A: 1.0})
    assert rounds.held == (frozenset([B]), frozenset([C]))
    assert rounds.settled


class TestLevel:
    """What activates is no different from what was active all along, but every prompt has the same."""

    N_MODELS, N_PROMPTS, N_SETS = 100, 6, 39

    def test_luck_that_prompts_share_is_not_counted_once_per_prompt(self):
        ranks = [self._mean_rank(seed) for seed in range(self.N_MODELS)]
        n_claimed = sum(rank <= 0.05 for rank in ranks)
        # At most 5% expected; with 100 models 11 and more are seen at 5% in 1 of 90 tries.
        assert n_claimed <= 10
        assert 0.35 < np.mean(ranks) < 0.65

    def _mean_rank(self, seed: int) -> float:
        random = np.random.default_rng(seed)
        wakes = [FeatureId(1, i) for i in range(5)]
        always = [FeatureId(1, 100 + i) for i in range(60)]
        effects = dict(zip([*wakes, *always], random.normal(size=65), strict=True))
        pushes = dict(zip([*wakes, *always], random.normal(size=65), strict=True))
        ranks: list[float] = []
        for _ in range(self.N_PROMPTS):
            noisy = {f: p * (1.0 + 0.3 * random.normal()) for f, p in pushes.items()}
            state = State(
                n_waves=1,
                ablated=frozenset(),
                score=0.0,
                always={f: noisy[f] for f in always},
                activated={},
            )
            drawn = state.stand_ins({f: noisy[f] for f in wakes}, random, n_sets=self.N_SETS)
            falls = [sum(effects[f] for f in one.values()) for one in drawn]
            own = sum(effects[f] for f in wakes)
            ranks.append((1 + sum(fall >= own for fall in falls)) / (1 + self.N_SETS))
        return float(np.mean(ranks))
