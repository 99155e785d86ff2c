"""The cascades of many prompts pooled: every number with its interval over prompts."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from sae_audit.cascade.pooled_depth import (
    against_null_cascades,
    compensation,
    depths,
    frozen_ratios,
)
from sae_audit.cascade.pooled_edges import FEWEST, edge_kinds, pooled_edges
from sae_audit.cascade.pooled_restoration import (
    necessity,
    pooled_restoration,
    switched_off,
)
from sae_audit.findings import (
    ActivatedAgainstRandom,
    ActivatedFeatures,
    ActivationEdges,
    ActivationTokens,
    Cascade,
    CascadeNull,
    Estimate,
    OutsideText,
    PooledCascade,
    PooledWaveFeature,
    Restoration,
    TokenCounts,
    TokenShare,
)
from sae_audit.statistics import mean, mean_of_shares, share, sign_flip_p_value
from sae_audit.vocabulary import TokenClass


def pooled_cascade(
    cascades: Sequence[Cascade],
    edges: Sequence[ActivationEdges],
    tokens_by_prompt: Sequence[ActivationTokens],
    null: Sequence[CascadeNull],
    restorations: Sequence[Restoration],
    *,
    min_effect: float,
    seed: int,
) -> PooledCascade:
    """Waves, edges, tokens and compensation over prompts; each prompt is one case."""
    assert cascades, "no prompt was flipped"
    often, rare = pooled_edges(cascades, edges)
    frozen, norm = frozen_ratios(cascades)
    return PooledCascade(
        depths=depths(cascades),
        null=against_null_cascades(cascades, null, seed=seed),
        features=_features(cascades),
        edges=often,
        n_rare_pairs=len(rare),
        n_rare_with_edge=sum(n > 0 for n in rare),
        edge_kinds=edge_kinds(edges),
        tokens=tuple(
            one
            for n_waves in sorted(
                {one.n_waves for found in tokens_by_prompt for one in found.active}
            )
            for one in _token_shares(tokens_by_prompt, n_waves)
        ),
        active=_beside_random(tokens_by_prompt, seed),
        compensation=compensation(cascades),
        compensation_frozen=frozen,
        compensation_norm=norm,
        outside_text=_outside_text(tokens_by_prompt),
        necessity=necessity(cascades, restorations),
        switched_off=switched_off(restorations),
        restoration=pooled_restoration(cascades, restorations, min_effect=min_effect),
    )


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


def _token_shares(tokens_by_prompt: Sequence[ActivationTokens], n_waves: int) -> list[TokenShare]:
    """Shares over prompts in which something activates after `n_waves` waves; empty if too few."""
    chosen: list[tuple[ActivationTokens, ActivatedFeatures]] = [
        (found, one)
        for found in tokens_by_prompt
        for one in found.active
        if one.n_waves == n_waves and one.n_features
    ]
    if len(chosen) < FEWEST:
        return []

    def shares(counts: Sequence[TokenCounts], token: TokenClass) -> Estimate:
        return mean_of_shares([one[token] / sum(one.values()) for one in counts])

    random = [one.random_peaks_at for _, one in chosen if sum(one.random_peaks_at.values())]
    return [
        TokenShare(
            n_waves=n_waves,
            token=token,
            peaks=shares([one.peaks_at for _, one in chosen], token),
            fires=shares([one.fires_at for _, one in chosen], token),
            clean_peaks=shares([found.clean_peaks_at for found, _ in chosen], token),
            clean_fires=shares([found.clean_fires_at for found, _ in chosen], token),
            random_peaks=shares(random, token) if len(random) >= FEWEST else None,
            tokens=shares([found.tokens for found, _ in chosen], token),
        )
        for token in TokenClass
    ]


def _outside_text(tokens_by_prompt: Sequence[ActivationTokens]) -> tuple[OutsideText, ...]:
    by_waves: dict[int, list[TokenCounts]] = defaultdict(list)
    for found in tokens_by_prompt:
        for one in found.active:
            if one.n_features:
                by_waves[one.n_waves].append(one.peaks_at)
    often = sorted(n for n, found in by_waves.items() if len(found) >= FEWEST)
    return tuple(_one_outside_text(n, by_waves[n]) for n in often)


def _one_outside_text(n_waves: int, peaks: Sequence[TokenCounts]) -> OutsideText:
    outside = [sum(one.values()) - one[TokenClass.CONTENT] for one in peaks]
    shares = [n / sum(one.values()) for n, one in zip(outside, peaks, strict=True)]
    on_bos = [one[TokenClass.BOS] / n for n, one in zip(outside, peaks, strict=True) if n]
    return OutsideText(
        n_waves=n_waves,
        share=mean(shares),
        on_bos=mean(on_bos) if len(on_bos) >= FEWEST else None,
    )


def _beside_random(
    tokens_by_prompt: Sequence[ActivationTokens], seed: int
) -> tuple[ActivatedAgainstRandom, ...]:
    by_waves: dict[int, list[ActivatedFeatures]] = defaultdict(list)
    for found in tokens_by_prompt:
        for one in found.active:
            by_waves[one.n_waves].append(one)
    often = sorted(n for n, found in by_waves.items() if len(found) >= FEWEST)
    return tuple(_one_beside_random(n, by_waves, seed) for n in often)


def _one_beside_random(
    n_waves: int, by_waves: Mapping[int, Sequence[ActivatedFeatures]], seed: int
) -> ActivatedAgainstRandom:
    own = [float(one.n_features) for one in by_waves[n_waves]]
    random = [sum(one.n_random) / len(one.n_random) for one in by_waves[n_waves]]
    return ActivatedAgainstRandom(
        n_waves=n_waves,
        n_activated=mean(own, within=(0.0, math.inf)),
        n_random=mean(random, within=(0.0, math.inf)),
        p_value=sign_flip_p_value([a - b for a, b in zip(own, random, strict=True)], seed=seed),
    )
