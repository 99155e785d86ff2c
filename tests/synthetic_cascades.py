"""Invented edges, tokens and raised sets to go with invented cascades; pooled by the real code."""

from collections.abc import Iterator, Sequence
from typing import Any

from sae_audit.cascade.pooled import pooled_cascade
from sae_audit.findings import (
    Awake,
    Cascade,
    EdgeKind,
    Estimate,
    PooledCascade,
    RaisedSet,
    Sufficiency,
    WakeEdge,
    WakeEdges,
    Waking,
    WokenFeature,
)
from sae_audit.vocabulary import TokenClass


def depth_records(cascades: Sequence[Cascade]) -> Iterator[tuple[str, str, Any, Any]]:
    """Stage, key, type and value of what follows the cascades."""
    edges = [_edges(found) for found in cascades]
    wakings = [_waking(found) for found in cascades]
    for one in edges:
        yield "edges", one.prompt_id, WakeEdges, one
    for one in wakings:
        yield "waking", one.prompt_id, Waking, one
    if cascades:
        pooled = pooled_cascade(cascades, edges, wakings, seed=0)
        yield "pooled_cascade", "pooled", PooledCascade, pooled
    sets = tuple(_raised(name) for name in ("minimal", "pooled", "cascade")) if cascades else ()
    yield "sufficiency", "all", Sufficiency, Sufficiency(sets=sets, n_harmful=11)


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
