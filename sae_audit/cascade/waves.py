"""Stage 4: dormant features that activate, wave behind wave, as earlier ones are ablated (2509.09708).

1. The first wave: the features of the minimal set that fire on the clean run.
2. Ablate all waves so far and encode again. Dormant features: zero on the clean run, firing now.
3. Test those of the minimal set, and of the others those with the largest direct attribution of either
   sign: by how much does ablating each lower the score further?
4. The next wave: those of the minimal set that activated, and the tested ones with enough effect.
5. Repeat until nothing activates, or what activates does not move the score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sae_audit.cascade.compensation import compensation
from sae_audit.config import CascadeSettings
from sae_audit.findings import Cascade, DormantFeature, DormantTests, Wave
from sae_audit.vocabulary import (
    Active,
    BeyondRounding,
    DirectAttribution,
    FeatureId,
    FeatureSet,
    Firing,
    InterventionScore,
    Score,
)


@dataclass(frozen=True, kw_only=True)
class CascadeQuestions:
    """The questions of a cascade about one prompt."""

    score: Score
    active: Active
    direct_attribution: DirectAttribution
    firing: Firing
    intervention_score: InterventionScore
    beyond_rounding: BeyondRounding
    frozen_norm_obstacle: str = ""
    """Why the final norm's scale cannot be frozen; else empty."""


def cascade(
    prompt_id: str,
    ask: CascadeQuestions,
    minimal: FeatureSet,
    settings: CascadeSettings,
    *,
    silent_act: bool = False,
) -> Cascade:
    """Waves of dormant features behind one prompt's minimal set.

    `silent_act`: ablation sets features to another value than 0, so inactive features have an effect
    too, and the whole minimal set is the first wave.
    """
    assert minimal, "a cascade starts from a set that flips the prompt"
    clean = ask.active([frozenset()])[0]
    first = minimal if silent_act else frozenset(minimal & clean.keys())
    assert first, "a set none of whose features fires cannot have flipped the prompt"
    clean_score, score_first = (float(value) for value in ask.score([frozenset(), first]))
    waves = [
        Wave(features=tuple(sorted(first)), score_after=score_first, n_activated=0, dormant=())
    ]
    tests: list[DormantTests] = []
    ablated, n_scored, stop = first, 2, ""
    while not stop:
        found = _next_wave(ask, ablated, clean, minimal, waves, settings)
        n_scored, stop = n_scored + found.n_scored, found.stop
        if found.tests is not None:
            tests.append(found.tests)
        if found.wave is not None:
            waves.append(found.wave)
            ablated |= frozenset(found.wave.features)
            if not stop and len(waves) == settings.max_waves:
                stop = f"stopped at {settings.max_waves} waves (cascade.max_waves)"
    undone = compensation(
        ask.intervention_score,
        ask.firing,
        first,
        clean,
        floor=settings.min_effect,
        frozen_norm_obstacle=ask.frozen_norm_obstacle,
    )
    return Cascade(
        prompt_id=prompt_id,
        waves=tuple(waves),
        tests=tuple(tests),
        held=undone.held,
        clean_score=clean_score,
        unplaced=tuple(sorted(minimal - ablated)),
        effects=undone.effects,
        compensation_ratio=undone.ratio,
        compensation_reason=undone.reason,
        frozen_compensation_ratio=undone.frozen_compensation_ratio,
        frozen_reason=undone.frozen_reason,
        stop=stop,
        n_sets_scored=n_scored + undone.n_sets_scored,
    )


@dataclass(frozen=True, kw_only=True)
class _Next:
    """One round: the next wave, if there is one, and what was tested for it."""

    wave: Wave | None
    tests: DormantTests | None
    n_scored: int
    stop: str
    """Why the cascade ends; else empty."""


def dormant_active(
    ask: CascadeQuestions, ablated: FeatureSet, clean: Mapping[FeatureId, float]
) -> dict[FeatureId, float]:
    """The dormant features that fire with `ablated` ablated, by more than rounding could bring about,
    with their largest activation."""
    now = ask.active([ablated])[0]
    active = {f: value for f, value in now.items() if f not in clean and f not in ablated}
    beyond = ask.beyond_rounding(ablated, list(active))
    return {f: active[f] for f, real in zip(active, beyond, strict=True) if real}


def _next_wave(
    ask: CascadeQuestions,
    ablated: FeatureSet,
    clean: Mapping[FeatureId, float],
    minimal: FeatureSet,
    waves: Sequence[Wave],
    settings: CascadeSettings,
) -> _Next:
    last = waves[-1]
    active = dormant_active(ask, ablated, clean)
    if not active:
        return _Next(wave=None, tests=None, n_scored=0, stop="no dormant feature activates")
    attributions = dict(zip(active, ask.direct_attribution(ablated, list(active)), strict=True))
    tested = most_attributed(attributions, settings.max_tested, first=minimal)
    scores = ask.score([ablated | {feature} for feature in tested])
    effects = {f: last.score_after - float(s) for f, s in zip(tested, scores, strict=True)}
    tests = DormantTests(
        n_waves=len(waves),
        features=tuple(tested),
        direct_attributions=tuple(float(attributions[f]) for f in tested),
        effects=tuple(effects[f] for f in tested),
    )
    joining = [f for f in tested if f in minimal or effects[f] >= settings.min_effect]
    if not joining:
        reason = (
            f"{len(active)} dormant features activate, but none of the {len(tested)} tested lowers the "
            f"score by {settings.min_effect:g} nats"
        )
        return _Next(wave=None, tests=tests, n_scored=len(tested), stop=reason)
    score_after = float(ask.score([ablated | frozenset(joining)])[0])
    activated_by = _activated_by(ask.active, ablated, joining)
    wave = Wave(
        features=tuple(sorted(joining)),
        score_after=score_after,
        n_activated=len(active),
        dormant=tuple(
            DormantFeature(
                feature=feature,
                activation=float(active[feature]),
                direct_attribution=float(attributions[feature]),
                effect=effects[feature],
                activated_by=activated_by[feature],
            )
            for feature in sorted(joining)
        ),
    )
    still = last.score_after - score_after < settings.min_effect
    waiting = minimal - ablated - frozenset(joining)
    stop = "the score stopped moving" if still and not waiting else ""
    return _Next(wave=wave, tests=tests, n_scored=len(tested) + 1, stop=stop)


def most_attributed(
    attributions: Mapping[FeatureId, float], n: int, *, first: FeatureSet
) -> list[FeatureId]:
    """Those of `first`, then the others by direct attribution of either sign, largest first, up to `n`.

    A feature need not push along the direction itself to restore refusal: it may act through others.
    """
    own = sorted(feature for feature in attributions if feature in first)
    others = [f for f in attributions if f not in first]
    others.sort(key=lambda feature: (-abs(attributions[feature]), feature))
    return own + others[: max(0, n - len(own))]


def _activated_by(
    active: Active, ablated: FeatureSet, activated: Sequence[FeatureId]
) -> dict[FeatureId, tuple[FeatureId, ...]]:
    """For each activated feature, the ablated ones whose sparing alone makes it inactive again."""
    causes = sorted(ablated)
    firing = active([ablated - {cause} for cause in causes])
    inactive = np.array([[feature not in fires for feature in activated] for fires in firing])
    return {
        feature: tuple(cause for cause, slept in zip(causes, inactive[:, i], strict=True) if slept)
        for i, feature in enumerate(activated)
    }
