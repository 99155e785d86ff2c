"""Do the dormant features that activate restore refusal, and do others do as much?

1. Restored: with the first wave ablated, hold every dormant feature that activates at zero; by how much
   does the score fall? If they are backups, they were holding refusal up.
2. Control at the same state, all at once: ablate instead as many features that were active all along,
   of the same layers and nearest in direct attribution; several sets.
3. Control at the same state, one by one: with each wave ablated, dormant features among those tested,
   and a stand-in for each that was active all along.
4. Control at the same score: ablate features outside cascade and pool of candidates in random order
   until the score is as low as with the minimal set ablated; what activates there, and what does that
   restore?
5. What ablating the later waves does to the first (2509.09708), and the pooled set without its dormant
   features.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from sae_audit.cascade.compensation import held_at_zero
from sae_audit.cascade.waves import CascadeQuestions, most_attributed
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

_NEAREST = 10
"""Number of features nearest in direct attribution from which a stand-in is drawn."""
_SIZES = 5
"""Number of sizes of the unrelated set that are scored in each round."""
_ROUNDS = 2
"""Number of rounds, the second between two neighbouring sizes of the first: to within 4% of all."""


def restoration(
    found: Cascade,
    ask: CascadeQuestions,
    activations: Activations,
    minimal: FeatureSet,
    settings: CascadeSettings,
    *,
    candidates: FeatureSet,
    pooled: FeatureSet = frozenset(),
    at_same_score: bool = True,
    seed: int,
) -> Restoration:
    """What the dormant features behind one prompt's first wave restore, and the controls; that at the
    same score, the dearest, only if asked for. `candidates`: those the minimal set was found among."""
    # Draws differ between prompts, and repeat for the same prompt.
    random = np.random.default_rng([seed, *found.prompt_id.encode()])
    clean = ask.active([frozenset()])[0]
    states = [State.after(n, found, ask, clean) for n in _n_waves(found)]
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
        same_score=_same_score(found, ask, clean, minimal, candidates, settings, random)
        if at_same_score
        else None,
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
class State:
    """A prompt with the first waves ablated, and the features active all along."""

    n_waves: int
    ablated: FeatureSet
    score: float
    always: Mapping[FeatureId, float]
    """Direct attribution of the features that fire on the clean run and here, outside the cascade."""
    activated: Mapping[FeatureId, float]
    """Direct attribution of the dormant features that activate at once, with the first wave ablated."""

    @classmethod
    def after(
        cls, n: int, found: Cascade, ask: CascadeQuestions, clean: Mapping[FeatureId, float]
    ) -> "State":
        ablated = frozenset(f for wave in found.waves[:n] for f in wave.features)
        outside = sorted(frozenset(clean) - _members(found))
        first = list(found.held[0]) if n == 1 and found.held else []
        asked = [*outside, *first]
        pushed = ask.direct_attribution(ablated, asked).tolist() if asked else []
        attributions = dict(zip(asked, pushed, strict=True))
        return cls(
            n_waves=n,
            ablated=ablated,
            score=found.waves[n - 1].score_after,
            # Exactly 0 is a feature that no longer fires.
            always={f: attributions[f] for f in outside if attributions[f] != 0.0},
            activated={f: attributions[f] for f in first},
        )

    def stand_ins(
        self, wanted: Mapping[FeatureId, float], random: np.random.Generator, *, n_sets: int
    ) -> list[dict[FeatureId, FeatureId]]:
        """Sets with one stand-in of the same layer for each feature with this direct attribution, one of
        the ten nearest that are free, none twice. The strongest choose first; features whose layer has
        none left are left out."""
        neighbours = self._neighbours(wanted)
        draws = random.random((n_sets, len(self.always))).tolist()
        ranks = [dict(zip(self.always, own, strict=True)) for own in draws]
        return [_one_set(neighbours, _NEAREST, rank.__getitem__) for rank in ranks]

    def nearest(self, wanted: Mapping[FeatureId, float]) -> dict[FeatureId, FeatureId]:
        """The stand-in of the same layer nearest in direct attribution, none twice."""
        return _one_set(self._neighbours(wanted), 1, lambda _: 0.0)

    def _neighbours(
        self, wanted: Mapping[FeatureId, float]
    ) -> dict[FeatureId, Sequence[FeatureId]]:
        """All of each feature's layer, the nearest first; the strongest feature first."""
        order = sorted(wanted, key=lambda f: (-abs(wanted[f]), f))
        return {feature: self._by_distance(feature, wanted[feature]) for feature in order}

    def _by_distance(self, feature: FeatureId, pushed: float) -> list[FeatureId]:
        others = [f for f in self.always if f.layer == feature.layer]
        return sorted(others, key=lambda f: (abs(self.always[f] - pushed), f))


def _one_set(
    neighbours: Mapping[FeatureId, Sequence[FeatureId]],
    n_nearest: int,
    rank: Callable[[FeatureId], float],
) -> dict[FeatureId, FeatureId]:
    taken: set[FeatureId] = set()
    found: dict[FeatureId, FeatureId] = {}
    for feature, others in neighbours.items():
        free = list(islice((f for f in others if f not in taken), n_nearest))
        if free:
            found[feature] = min(free, key=rank)
            taken.add(found[feature])
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
        state: State,
        ask: CascadeQuestions,
        n_sets: int,
        random: np.random.Generator,
    ) -> "_StandInSets":
        wanted = _held_attributions(found, state, ask)
        drawn = state.stand_ins(wanted, random, n_sets=n_sets)
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
    found: Cascade, state: State, ask: CascadeQuestions
) -> dict[FeatureId, float]:
    """Direct attribution of what activates, each where it does: with those before it held."""
    wanted = dict(state.activated)
    for held in found.held[1:]:
        ablated = state.ablated | frozenset(wanted)
        wanted |= zip(held, ask.direct_attribution(ablated, held).tolist(), strict=True)
    return wanted


def _one_by_one(
    tests: DormantTests,
    state: State,
    ask: CascadeQuestions,
    n: int,
    random: np.random.Generator,
) -> StandInTests:
    """Stand-ins for `n` of the tested features, by the same test."""
    assert tests.n_waves == state.n_waves, (tests.n_waves, state.n_waves)
    effects = dict(zip(tests.features, tests.effects, strict=True))
    pushed = dict(zip(tests.features, tests.direct_attributions, strict=True))
    chosen = sorted(_drawn(tests.features, n, random))
    wanted = {feature: pushed[feature] for feature in chosen}
    stand_ins = state.nearest(wanted)
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
    candidates: FeatureSet,
    settings: CascadeSettings,
    random: np.random.Generator,
) -> SameScore | None:
    # Candidates may hold refusal up by another way, with backups of its own.
    outside = sorted(frozenset(clean) - _members(found) - candidates)
    if not outside:
        return None
    order = [outside[i] for i in random.permutation(len(outside))]
    target = float(ask.score([minimal])[0])
    ablated, score = _as_low(order, target, ask)
    rounds = held_at_zero(ask.firing, ablated, clean)
    restored = None
    if rounds.settled:
        nothing_activates = Intervention(ablated=ablated, frozen=rounds.features)
        restored = score - float(ask.intervention_score([nothing_activates])[0])
    tested = _strongest(rounds.held[0], ablated, ask, settings) if rounds.held else []
    chosen = sorted(_drawn(tested, settings.stand_in_tests, random))
    scores = ask.score([ablated | {f} for f in chosen]) if chosen else ()
    return SameScore(
        n_ablated=len(ablated),
        reached=score <= target + settings.min_effect,
        score=score,
        n_held=len(rounds.features),
        restored=restored,
        effects=tuple(score - float(one) for one in scores),
    )


def _strongest(
    activated: FeatureSet, ablated: FeatureSet, ask: CascadeQuestions, settings: CascadeSettings
) -> list[FeatureId]:
    """Those that a cascade would test."""
    active = sorted(activated)
    beyond = ask.beyond_rounding(ablated, active)
    active = [f for f, real in zip(active, beyond, strict=True) if real]
    if not active:
        return []
    pushed = ask.direct_attribution(ablated, active).tolist()
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
