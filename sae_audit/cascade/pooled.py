"""The cascades of many prompts together: every number with its interval over prompts."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from sae_audit.findings import (
    Awake,
    AwakeBesideRandom,
    Cascade,
    EdgeKind,
    Estimate,
    PooledCascade,
    PooledEdge,
    PooledWaveFeature,
    TokenCounts,
    TokenShare,
    WakeEdges,
    Waking,
)
from sae_audit.statistics import mean, share, sign_flip_p_value
from sae_audit.vocabulary import FeatureId, TokenClass


def pooled_cascade(
    cascades: Sequence[Cascade],
    edges: Sequence[WakeEdges],
    wakings: Sequence[Waking],
    *,
    seed: int,
) -> PooledCascade:
    """Waves, edges, tokens and compensation over prompts; each prompt is one case."""
    assert cascades, "no prompt was flipped"
    depths = Counter(found.depth for found in cascades)
    live, frozen = _both_ratios(cascades)
    return PooledCascade(
        depth=mean([float(found.depth) for found in cascades], seed=seed),
        depths=dict(sorted(depths.items())),
        features=_features(cascades),
        edges=_edges(cascades, edges),
        edge_kinds={
            kind: sum(edge.kind == kind for one in edges for edge in one.edges) for kind in EdgeKind
        },
        edge_control=_mean_of(_control_shares(edges), seed),
        tokens=tuple(
            one
            for n_waves in sorted({one.n_waves for found in wakings for one in found.awake})
            for one in _token_shares(wakings, n_waves, seed)
        ),
        awake=_beside_random(wakings, seed),
        compensation=_mean_of(live, seed),
        compensation_frozen=_mean_of(frozen, seed),
        compensation_norm=_mean_of([f - r for f, r in zip(frozen, live, strict=True)], seed),
    )


def _mean_of(values: Sequence[float], seed: int) -> Estimate | None:
    return mean(values, seed=seed) if values else None


def _both_ratios(cascades: Sequence[Cascade]) -> tuple[list[float], list[float]]:
    both = [
        (found.compensation_ratio, found.frozen_ratio)
        for found in cascades
        if found.compensation_ratio is not None and found.frozen_ratio is not None
    ]
    return [ratio for ratio, _ in both], [ratio for _, ratio in both]


def _features(cascades: Sequence[Cascade]) -> tuple[PooledWaveFeature, ...]:
    counts = Counter(
        (i + 1, feature)
        for found in cascades
        for i, wave in enumerate(found.waves)
        for feature in wave.features
    )
    order = sorted(counts, key=lambda key: (key[0], -counts[key], key[1]))
    return tuple(
        PooledWaveFeature(
            feature=feature, wave=wave, share=share(counts[wave, feature], len(cascades))
        )
        for wave, feature in order
    )


def _edges(cascades: Sequence[Cascade], edges: Sequence[WakeEdges]) -> tuple[PooledEdge, ...]:
    kinds: dict[tuple[FeatureId, FeatureId], Counter[EdgeKind]] = defaultdict(Counter)
    for one in edges:
        for edge in one.edges:
            kinds[edge.cause, edge.feature][edge.kind] += 1
    left_out = {one.prompt_id: frozenset(one.left_out) for one in edges}
    places = [
        {
            feature: i
            for i, wave in enumerate(found.waves)
            for feature in wave.features
            if feature not in left_out.get(found.prompt_id, ())
        }
        for found in cascades
    ]

    def n_tested(cause: FeatureId, feature: FeatureId) -> int:
        return sum(
            cause in place and feature in place and place[cause] < place[feature]
            for place in places
        )

    order = sorted(kinds, key=lambda pair: (-kinds[pair].total(), pair))
    return tuple(
        PooledEdge(
            cause=cause,
            feature=feature,
            share=share(kinds[cause, feature].total(), n_tested(cause, feature)),
            kinds={kind: kinds[cause, feature][kind] for kind in EdgeKind},
        )
        for cause, feature in order
    )


def _control_shares(edges: Sequence[WakeEdges]) -> list[float]:
    """By prompt, the share of stand-ins that wake what the cause wakes."""
    shares: list[float] = []
    for one in edges:
        n = sum(edge.n_controls for edge in one.edges)
        if n:
            shares.append(sum(edge.n_controls_waking for edge in one.edges) / n)
    return shares


def _token_shares(wakings: Sequence[Waking], n_waves: int, seed: int) -> list[TokenShare]:
    """Over the prompts in which something wakes after so many waves."""
    chosen: list[tuple[Waking, Awake]] = [
        (found, one)
        for found in wakings
        for one in found.awake
        if one.n_waves == n_waves and one.n_features
    ]
    if not chosen:
        return []

    def shares(counts: Sequence[TokenCounts], token: TokenClass) -> Estimate:
        return mean([one[token] / sum(one.values()) for one in counts], seed=seed)

    return [
        TokenShare(
            n_waves=n_waves,
            token=token,
            peaks=shares([one.peaks_at for _, one in chosen], token),
            fires=shares([one.fires_at for _, one in chosen], token),
            clean_peaks=shares([found.clean_peaks_at for found, _ in chosen], token),
            clean_fires=shares([found.clean_fires_at for found, _ in chosen], token),
            tokens=shares([found.tokens for found, _ in chosen], token),
        )
        for token in TokenClass
    ]


def _beside_random(wakings: Sequence[Waking], seed: int) -> tuple[AwakeBesideRandom, ...]:
    by_waves: dict[int, list[Awake]] = defaultdict(list)
    for found in wakings:
        for one in found.awake:
            by_waves[one.n_waves].append(one)
    return tuple(_one_beside_random(n, by_waves, seed) for n in sorted(by_waves))


def _one_beside_random(
    n_waves: int, by_waves: Mapping[int, Sequence[Awake]], seed: int
) -> AwakeBesideRandom:
    own = [float(one.n_features) for one in by_waves[n_waves]]
    random = [sum(one.n_random) / len(one.n_random) for one in by_waves[n_waves]]
    return AwakeBesideRandom(
        n_waves=n_waves,
        n_awake=mean(own, seed=seed),
        n_random=mean(random, seed=seed),
        p_value=sign_flip_p_value([a - b for a, b in zip(own, random, strict=True)], seed=seed),
    )
