"""Stage 4: dormant features that activate, wave behind wave, as earlier ones are ablated (2509.09708).

1. The first wave: the features of the minimal set that fire on the clean run.
2. Ablate all waves so far and encode again. Dormant features: zero on the clean run, firing now.
3. Test those of the minimal set, and of the others those with the largest direct attribution: by how
   much does ablating each lower the score further?
4. The next wave: those of the minimal set that activated, and the tested ones with enough effect.
5. Repeat until nothing activates, or what activates does not move the score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sae_audit.cascade.compensation import compensation
from sae_audit.config import CascadeSettings
from sae_audit.findings import BackupFeature, Cascade, Wave
from sae_audit.vocabulary import (
    Active,
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
        Wave(features=tuple(sorted(first)), score_after=score_first, n_activated=0, backups=())
    ]
    ablated, n_scored, stop = first, 2, ""
    while not stop:
        wave, n_tested, stop = _next_wave(ask, ablated, clean, minimal, waves[-1], settings)
        n_scored += n_tested
        if wave is not None:
            waves.append(wave)
            ablated |= frozenset(wave.features)
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


def _next_wave(
    ask: CascadeQuestions,
    ablated: FeatureSet,
    clean: Mapping[FeatureId, float],
    minimal: FeatureSet,
    last: Wave,
    settings: CascadeSettings,
) -> tuple[Wave | None, int, str]:
    """The next wave or None, the number of sets scored, and why the cascade ends (else empty)."""
    now = ask.active([ablated])[0]
    active = {f: value for f, value in now.items() if f not in clean and f not in ablated}
    if not active:
        return None, 0, "no dormant feature activates"
    attributions = dict(zip(active, ask.direct_attribution(ablated, list(active)), strict=True))
    tested = _tested(attributions, minimal, settings.max_tested)
    scores = ask.score([ablated | {feature} for feature in tested])
    effects = {f: last.score_after - float(s) for f, s in zip(tested, scores, strict=True)}
    joining = [f for f in tested if f in minimal or effects[f] >= settings.min_effect]
    if not joining:
        reason = (
            f"{len(active)} dormant features activate, but none of the {len(tested)} tested lowers the "
            f"score by {settings.min_effect:g} nats"
        )
        return None, len(tested), reason
    score_after = float(ask.score([ablated | frozenset(joining)])[0])
    activated_by = _activated_by(ask.active, ablated, joining)
    wave = Wave(
        features=tuple(sorted(joining)),
        score_after=score_after,
        n_activated=len(active),
        backups=tuple(
            BackupFeature(
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
    return wave, len(tested) + 1, stop


def _tested(
    attributions: Mapping[FeatureId, float], minimal: FeatureSet, max_tested: int
) -> list[FeatureId]:
    """Dormant features of the minimal set, then those that push to refuse, strongest first."""
    own = sorted(feature for feature in attributions if feature in minimal)
    others = [f for f in attributions if f not in minimal and attributions[f] > 0.0]
    others.sort(key=lambda feature: (-attributions[feature], feature))
    return own + others[: max(0, max_tested - len(own))]


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
