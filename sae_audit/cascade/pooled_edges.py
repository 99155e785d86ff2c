"""Which features activate which over many prompts, compared with stand-ins for the causes."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from sae_audit.findings import (
    ActivationEdge,
    ActivationEdges,
    Cascade,
    EdgeKind,
    EdgesOfKind,
    Estimate,
    PooledEdge,
    StandIns,
)
from sae_audit.statistics import mean_of_shares, share
from sae_audit.vocabulary import FeatureId

Pair = tuple[FeatureId, FeatureId]
"""A feature of an earlier wave, and one of a later."""

FEWEST = 3
"""Minimum number of prompts behind a number of later waves, or of a pair: with fewer, a share's
interval is nearly all of [0, 1]. Means have no interval below five."""


def pooled_edges(
    cascades: Sequence[Cascade], edges: Sequence[ActivationEdges]
) -> tuple[tuple[PooledEdge, ...], list[int]]:
    """Pairs tested on enough prompts, most edges first; and the edges of each other pair.

    Pairs without an edge are included: otherwise no share could be 0.
    """
    found: dict[Pair, list[ActivationEdge]] = defaultdict(list)
    for one in edges:
        for edge in one.edges:
            found[edge.cause, edge.feature].append(edge)
    n_tested = Counter(_pairs_tested(cascades, edges))
    assert found.keys() <= n_tested.keys(), found.keys() - n_tested.keys()
    often = [pair for pair, n in n_tested.items() if n >= FEWEST]
    often.sort(key=lambda pair: (-len(found[pair]), pair))
    rare = [len(found[pair]) for pair, n in n_tested.items() if n < FEWEST]
    return tuple(_pooled(pair, found[pair], n_tested[pair]) for pair in often), rare


def edge_kinds(edges: Sequence[ActivationEdges]) -> tuple[EdgesOfKind, ...]:
    """All edges by kind; a kind without edges has n = 0."""
    return tuple(
        EdgesOfKind(
            kind=kind,
            n=sum(edge.kind == kind for one in edges for edge in one.edges),
            control=_control(edges, kind),
        )
        for kind in EdgeKind
    )


def _pairs_tested(cascades: Sequence[Cascade], edges: Sequence[ActivationEdges]) -> Iterator[Pair]:
    left_out = {one.prompt_id: frozenset(one.left_out) for one in edges}
    for found in cascades:
        if found.prompt_id not in left_out:
            continue
        place = {
            feature: i
            for i, wave in enumerate(found.waves)
            for feature in wave.features
            if feature not in left_out[found.prompt_id]
        }
        for cause in place:
            for feature in place:
                if place[cause] < place[feature]:
                    yield cause, feature


def _pooled(pair: Pair, edges: Sequence[ActivationEdge], n_tested: int) -> PooledEdge:
    by_kind = {kind: [edge for edge in edges if edge.kind == kind] for kind in EdgeKind}
    return PooledEdge(
        cause=pair[0],
        feature=pair[1],
        share=share(len(edges), n_tested),
        kinds={kind: len(own) for kind, own in by_kind.items()},
        stand_ins={
            kind: StandIns(
                n=sum(edge.n_controls for edge in own),
                n_activating=sum(edge.n_controls_activating for edge in own),
            )
            for kind, own in by_kind.items()
        },
    )


def _control(edges: Sequence[ActivationEdges], kind: EdgeKind) -> Estimate | None:
    """Mean over prompts of the share of stand-ins that activate what the cause activates."""
    shares: list[float] = []
    for one in edges:
        own = [edge for edge in one.edges if edge.kind == kind]
        n = sum(edge.n_controls for edge in own)
        if n:
            shares.append(sum(edge.n_controls_activating for edge in own) / n)
    return mean_of_shares(shares) if shares else None
