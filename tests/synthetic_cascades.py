"""Invented edges, tokens and raised sets to go with invented cascades; pooled by the real code."""

from collections.abc import Iterator, Sequence
from typing import Any

from sae_audit.cascade.pooled import pooled_cascade
from sae_audit.findings import (
    Awake,
    Cascade,
    CascadeByChance,
    EdgeKind,
    Estimate,
    FirstWaveEffects,
    PooledCascade,
    RaisedSet,
    Sufficiency,
    WakeEdge,
    WakeEdges,
    Waking,
    Wave,
    WokenFeature,
)
from sae_audit.vocabulary import FeatureId, TokenClass


def depth_records(cascades: Sequence[Cascade]) -> Iterator[tuple[str, str, Any, Any]]:
    """Stage, key, type and value of what follows the cascades."""
    by_chance = [_by_chance(found) for found in cascades]
    for one in by_chance:
        yield "cascades_by_chance", one.prompt_id, CascadeByChance, one
    edges = [_edges(found) for found in cascades]
    wakings = [_waking(found) for found in cascades]
    for one in edges:
        yield "edges", one.prompt_id, WakeEdges, one
    for one in wakings:
        yield "waking", one.prompt_id, Waking, one
    if cascades:
        pooled = pooled_cascade(cascades, edges, wakings, by_chance, seed=0)
        yield "pooled_cascade", "pooled", PooledCascade, pooled
    sets = tuple(_raised(name) for name in ("minimal", "pooled", "cascade")) if cascades else ()
    yield "sufficiency", "all", Sufficiency, Sufficiency(sets=sets, n_harmful=11)


def first_wave_effects(ratio: float, frozen_compensation_ratio: float) -> FirstWaveEffects:
    """Effects of these compensation ratios, the live direct effect 2 nats."""
    total = 2.0 * (1.0 - ratio)
    return FirstWaveEffects(
        total=total, direct=2.0, direct_frozen=total / (1.0 - frozen_compensation_ratio)
    )


def _by_chance(found: Cascade) -> CascadeByChance:
    """A random set that does next to nothing, and nothing behind it."""
    first = tuple(FeatureId(f.layer, f.index + 700) for f in found.waves[0].features)
    after = found.clean_score - 0.25
    return CascadeByChance(
        prompt_id=found.prompt_id,
        cascade=Cascade(
            prompt_id=found.prompt_id,
            waves=(Wave(features=first, score_after=after, n_awake=0, wakes=()),),
            clean_score=found.clean_score,
            unplaced=(),
            effects=FirstWaveEffects(total=0.25, direct=0.375, direct_frozen=0.5),
            compensation_ratio=1.0 / 3.0,
            compensation_reason="",
            stop="12 dormant features wake, but none of the 8 tested lowers the score by 0.1 nats",
            n_sets_scored=12,
            frozen_compensation_ratio=0.5,
            frozen_reason="",
        ),
    )


def _edges(found: Cascade) -> WakeEdges:
    """The first feature of the first wave wakes all of the second."""
    cause = found.waves[0].features[0]
    woken = found.waves[1].features if found.depth > 1 else ()
    edges = tuple(
        WakeEdge(
            cause=cause,
            feature=feature,
            kind=tuple(EdgeKind)[i % 3],
            activation=1.375,
            activation_spared=0.0,
            activation_alone=1.25,
            activation_held=1.125 if i % 3 == 0 else 0.0,
            through=woken[:1] if i % 3 == 1 else (),
            n_controls=5,
            n_controls_waking=i % 2,
        )
        for i, feature in enumerate(woken)
    )
    return WakeEdges(
        prompt_id=found.prompt_id,
        edges=edges,
        n_pairs_tested=len(edges) + 2,
        left_out=(),
        n_runs=20,
    )


def _waking(found: Cascade) -> Waking:
    bos, system, content, template = TokenClass
    clean = {bos: 2, system: 10, content: 60, template: 28}
    return Waking(
        prompt_id=found.prompt_id,
        tokens={bos: 1, system: 3, content: 12, template: 5},
        clean_fires_at=clean,
        clean_peaks_at=clean,
        awake=tuple(
            Awake(
                n_waves=i + 1,
                n_features=17,
                fires_at={bos: 5, system: 2, content: 3, template: 30},
                peaks_at={bos: 2, system: 1, content: 1, template: 13},
                n_random=(12, 21, 18),
                random_peaks_at={bos: 3, system: 6, content: 30, template: 12},
            )
            for i in range(found.depth)
        ),
        woken=tuple(
            WokenFeature(
                feature=wake.feature,
                wave=i + 1,
                positions=(17, 18),
                fires_at={bos: 0, system: 0, content: 0, template: 2},
                peak_at=template,
            )
            for i, wave in enumerate(found.waves)
            for wake in wave.wakes
        ),
    )


def _raised(name: str) -> RaisedSet:
    def estimate(value: float) -> Estimate:
        return Estimate(value=value, low=value - 0.05, high=value + 0.05, n=12, method="Wilson 95%")

    return RaisedSet(
        name=name,
        refused=estimate(0.75),
        score_rise=estimate(6.5),
        refused_random=estimate(0.125),
        score_rise_random=estimate(0.375),
    )
