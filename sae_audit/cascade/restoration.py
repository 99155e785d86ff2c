"""Do the dormant features that activate restore refusal, and do others do as much?

1. Restored: with the first wave ablated, hold every dormant feature that activates at zero; by how much
   does the score fall? If they are backups, they were holding refusal up.
2. Control at the same state, all at once: ablate instead as many features that were active all along,
   of the same layers and nearest in direct attribution; several sets.
3. Control at the same state, one by one: with each wave ablated, dormant features among those tested,
   and a stand-in for each that was active all along.
4. Control at the same score: ablate features outside the cascade in random order until the score is as
   low as with the minimal set ablated; what activates there, and what does that restore?
5. What ablating the later waves does to the first (2509.09708), and the pooled set without its dormant
   features.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sae_audit.cascade.compensation import held_at_zero
from sae_audit.cascade.waves import CascadeQuestions, dormant_active, most_attributed
from sae_audit.config import CascadeSettings
from sae_audit.findings import (
    Cascade,
    DormantTests,
    PooledSetWithoutDormant,
    Restoration,
    SameScore,
    StandInTests,
    SwitchedOff,
)
from sae_audit.vocabulary import Activations, FeatureId, FeatureSet, Intervention

_NEAREST = 5
"""Number of features nearest in direct attribution from which a stand-in is drawn."""
_SIZES = 7
"""Number of sizes of the unrelated set that are scored in each round."""
_ROUNDS = 3
"""Number of rounds, each between two neighbouring sizes of the one before: of 343 features to the unit."""


def restoration(
    found: Cascade,
    ask: CascadeQuestions,
    activations: Activations,
    minimal: FeatureSet,
    settings: CascadeSettings,
    *,
    pooled: FeatureSet = frozenset(),
    seed: int,
) -> Restoration:
    """What the dormant features behind one prompt's first wave restore, and the controls."""
    # Draws differ between prompts, and repeat for the same prompt.
    random = np.random.default_rng([seed, *found.prompt_id.encode()])
    clean = ask.active([frozenset()])[0]
    states = [_State.after(n, found, ask, clean) for n in _n_waves(found)]
    sets = _StandInSets.drawn(found, states[0], ask, settings.stand_in_sets, random)
    effects = found.effects
    return Restoration(
        prompt_id=found.prompt_id,
        restored=None if effects is None else effects.direct - effects.total,
        n_held=len(_held(found)),
        direct_attribution=sets.direct_attribution,
        n_stand_ins=sets.n_each,
        stand_in_sets=sets.falls,
        stand_in_attributions=sets.attributions,
        stand_in_tests=tuple(
            _one_by_one(tests, state, ask, settings.stand_in_tests, random)
            for tests, state in zip(found.tests, states, strict=False)
        ),
        same_score=_same_score(found, ask, clean, minimal, settings, random),
        switched_off=_switched_off(found, activations),
        pooled_set=_pooled_set(ask, clean, pooled) if pooled else None,
    )


def _n_waves(found: Cascade) -> list[int]:
    return [1, *(tests.n_waves for tests in found.tests if tests.n_waves > 1)]


def _members(found: Cascade) -> FeatureSet:
    return frozenset(f for wave in found.waves for f in wave.features) | frozenset(found.unplaced)


def _held(found: Cascade) -> list[FeatureId]:
    return [feature for one in found.held for feature in one]


@dataclass(frozen=True, kw_only=True)
class _State:
    """A prompt with the first waves ablated, and the features active all along."""

    n_waves: int
    ablated: FeatureSet
    score: float
    always: Mapping[FeatureId, float]
    """Direct attribution of the features that fire on the clean run and here, outside the cascade."""

    @classmethod
    def after(
        cls, n: int, found: Cascade, ask: CascadeQuestions, clean: Mapping[FeatureId, float]
    ) -> "_State":
        ablated = frozenset(f for wave in found.waves[:n] for f in wave.features)
        outside = clean.keys() - _members(found) - ablated
        still = sorted(f for f in ask.active([ablated])[0] if f in outside)
        pushed = ask.direct_attribution(ablated, still).tolist() if still else []
        return cls(
            n_waves=n,
            ablated=ablated,
            score=found.waves[n - 1].score_after,
            always=dict(zip(still, pushed, strict=True)),
        )

    def stand_ins(
        self, wanted: Mapping[FeatureId, float], random: np.random.Generator, *, n_nearest: int
    ) -> dict[FeatureId, FeatureId]:
        """For each feature with this direct attribution, one of its layer that stands in, none twice;
        features whose layer has none left are left out. The strongest choose first."""
        free = set(self.always)
        found: dict[FeatureId, FeatureId] = {}
        for feature in sorted(wanted, key=lambda f: (-abs(wanted[f]), f)):
            others = [f for f in free if f.layer == feature.layer]
            others.sort(key=lambda f: (abs(self.always[f] - wanted[feature]), f))
            if others:
                nearest = others[:n_nearest]
                found[feature] = nearest[int(random.integers(len(nearest)))]
                free.discard(found[feature])
        return found


@dataclass(frozen=True, kw_only=True)
class _StandInSets:
    """Sets of features active all along, ablated in place of what activates."""

    direct_attribution: float
    n_each: int
    falls: tuple[float, ...]
    attributions: tuple[float, ...]

    @classmethod
    def drawn(
        cls,
        found: Cascade,
        state: _State,
        ask: CascadeQuestions,
        n_sets: int,
        random: np.random.Generator,
    ) -> "_StandInSets":
        wanted = _held_attributions(found, state, ask)
        drawn = [state.stand_ins(wanted, random, n_nearest=_NEAREST) for _ in range(n_sets)]
        sets = [frozenset(one.values()) for one in drawn]
        if not any(sets):
            return cls(direct_attribution=sum(wanted.values()), n_each=0, falls=(), attributions=())
        scores = ask.score([state.ablated | one for one in sets])
        return cls(
            direct_attribution=sum(wanted.values()),
            n_each=len(sets[0]),
            falls=tuple(state.score - float(score) for score in scores),
            attributions=tuple(sum(state.always[f] for f in one) for one in sets),
        )


def _held_attributions(
    found: Cascade, state: _State, ask: CascadeQuestions
) -> dict[FeatureId, float]:
    """Direct attribution of what activates, each where it does: with those before it held."""
    wanted: dict[FeatureId, float] = {}
    for held in found.held:
        ablated = state.ablated | wanted.keys()
        wanted |= zip(held, ask.direct_attribution(ablated, held).tolist(), strict=True)
    return wanted


def _one_by_one(
    tests: DormantTests,
    state: _State,
    ask: CascadeQuestions,
    n: int,
    random: np.random.Generator,
) -> StandInTests:
    """Stand-ins for `n` of the tested features, by the same test."""
    assert tests.n_waves == state.n_waves, (tests.n_waves, state.n_waves)
    effects = dict(zip(tests.features, tests.effects, strict=True))
    pushed = dict(zip(tests.features, tests.direct_attributions, strict=True))
    chosen = sorted(_drawn(tests.features, n, random))
    stand_ins = state.stand_ins({f: pushed[f] for f in chosen}, random, n_nearest=1)
    own = [f for f in chosen if f in stand_ins]
    scores = ask.score([state.ablated | {stand_ins[f]} for f in own]) if own else ()
    return StandInTests(
        n_waves=tests.n_waves,
        features=tuple(own),
        effects=tuple(effects[f] for f in own),
        stand_ins=tuple(stand_ins[f] for f in own),
        effects_stand_ins=tuple(state.score - float(score) for score in scores),
    )


def _drawn(
    features: Sequence[FeatureId], n: int, random: np.random.Generator
) -> Iterable[FeatureId]:
    if len(features) <= n:
        return features
    return [features[i] for i in random.choice(len(features), size=n, replace=False)]


def _same_score(
    found: Cascade,
    ask: CascadeQuestions,
    clean: Mapping[FeatureId, float],
    minimal: FeatureSet,
    settings: CascadeSettings,
    random: np.random.Generator,
) -> SameScore | None:
    members = _members(found)
    outside = sorted(f for f in clean if f not in members)
    if not outside:
        return None
    order = [outside[i] for i in random.permutation(len(outside))]
    target = float(ask.score([minimal])[0])
    ablated, score = _as_low(order, target, ask)
    rounds = held_at_zero(ask.firing, ablated, clean)
    # Features of the cascade count as well: a backup that wakes here wakes without its primary gone.
    restored = None
    if rounds.settled:
        nothing_activates = Intervention(ablated=ablated, frozen=rounds.features)
        restored = score - float(ask.intervention_score([nothing_activates])[0])
    tested = _strongest(ablated, ask, clean, settings)
    chosen = sorted(_drawn(tested, settings.stand_in_tests, random))
    scores = ask.score([ablated | {f} for f in chosen]) if chosen else ()
    return SameScore(
        n_ablated=len(ablated),
        reached=score <= target,
        score=score,
        n_held=len(rounds.features),
        restored=restored,
        effects=tuple(score - float(one) for one in scores),
    )


def _strongest(
    ablated: FeatureSet,
    ask: CascadeQuestions,
    clean: Mapping[FeatureId, float],
    settings: CascadeSettings,
) -> list[FeatureId]:
    active = dormant_active(ask, ablated, clean)
    if not active:
        return []
    pushed = ask.direct_attribution(ablated, list(active)).tolist()
    attributions = dict(zip(active, pushed, strict=True))
    return most_attributed(attributions, settings.max_tested, first=frozenset())


def _as_low(
    order: Sequence[FeatureId], target: float, ask: CascadeQuestions
) -> tuple[FeatureSet, float]:
    """The shortest beginning of `order`, of those tried, whose ablation takes the score to `target`,
    with its score; the whole of it if none does. Sizes are tried evenly, then again between the last
    that does not and the first that does."""
    low, high = 0, len(order)
    sizes: Collection[int] = _between(low, high)
    scores: dict[int, float] = {}
    for _ in range(_ROUNDS):
        new = [n for n in sizes if n not in scores]
        asked = ask.score([frozenset(order[:n]) for n in new]) if new else ()
        scores |= zip(new, map(float, asked), strict=True)
        reached = [n for n in sorted(scores) if scores[n] <= target]
        if not reached:
            return frozenset(order), scores[len(order)]
        high = reached[0]
        low = max((n for n in scores if n < high), default=0)
        sizes = _between(low, high)
    return frozenset(order[:high]), scores[high]


def _between(low: int, high: int) -> list[int]:
    """A few whole numbers above `low`, evenly up to `high`."""
    return sorted({low + -(-(high - low) * i // _SIZES) for i in range(1, _SIZES + 1)})


def _switched_off(found: Cascade, activations: Activations) -> SwitchedOff | None:
    if found.depth == 1:
        return None
    first = found.waves[0].features
    every = frozenset(f for wave in found.waves for f in wave.features)
    runs = [Intervention(ablated=frozenset(first)), Intervention(ablated=every)]
    before, after = activations(runs, first).max(axis=2)
    fires = before > 0.0
    return SwitchedOff(
        n_features=int(fires.sum()),
        n_off=int((fires & (after <= 0.0)).sum()),
        n_weaker=int((fires & (after < before)).sum()),
    )


def _pooled_set(
    ask: CascadeQuestions, clean: Mapping[FeatureId, float], pooled: FeatureSet
) -> PooledSetWithoutDormant:
    active = frozenset(f for f in pooled if f in clean)
    score, without = (float(one) for one in ask.score([pooled, active]))
    return PooledSetWithoutDormant(
        n_dormant=len(pooled - active), score=score, score_without=without
    )
