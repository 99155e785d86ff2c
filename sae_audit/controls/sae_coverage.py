"""How much of the refusal mechanism the candidates reach, and how much no SAE represents.

Minimal sets consist of features, so they miss what runs through the SAEs' error terms. So the
direction's whole component is removed, then the part the SAEs represent, then the part they do not, by
one rule: at every audited layer it is replaced by its mean over harmless prompts. The effect of
removing the whole is the unit of the others.

The two parts need not add up to the whole: another layer's SAE may represent what one layer's misses.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from sae_audit.findings import Estimate, LayerCoverage, RandomRange, SaeCoverage
from sae_audit.statistics import between_quantiles, mean, random_range, ratio
from sae_audit.vocabulary import Part, Projections, Replaced

_SMALLEST_FALL = 0.1
"""Nats by which removing the direction must lower the mean score for shares to be stated."""
_RESAMPLES = 4000
_ROUNDING = 1e-5
"""Share of the stream's norm below which components, and their differences, may be float32 rounding."""

Scores = Float[np.ndarray, " prompt"]


def sae_coverage(
    replaced: Replaced,
    n_random: int,
    *,
    clean: Scores,
    candidates: Scores,
    random_sets: Sequence[Scores],
    rotated: Sequence[Scores],
    layers: Sequence[LayerCoverage],
) -> SaeCoverage:
    """Scores and shares over refused prompts.

    In `replaced` direction 0 is the refusal direction, the `n_random` after it are random ones. `clean`
    and `candidates` are the same prompts' scores (nats) without intervention and with all candidates
    ablated, `random_sets` those with each of several sets of as many random features, `rotated` those
    with the part of the direction that each of several rotated dictionaries shows replaced.
    """
    by_saes, direction, error = (
        replaced(part, 0) for part in (Part.RECONSTRUCTION, Part.STREAM, Part.ERROR)
    )
    fall = clean - direction
    reason = _why_no_shares(mean(fall))

    def shared(falls: Scores) -> Estimate | None:
        return None if reason else ratio(falls, fall)

    def random_shares(scores: Iterable[Scores]) -> RandomRange | None:
        shares = [] if reason else [float((clean - s).mean() / fall.mean()) for s in scores]
        return random_range(shares) if shares else None

    def random_parts(part: Part) -> RandomRange | None:
        return random_shares(replaced(part, 1 + i) for i in range(n_random))

    return SaeCoverage(
        clean=mean(clean),
        candidates=mean(candidates),
        saes=mean(by_saes),
        direction=mean(direction),
        error=mean(error),
        hidden_from_candidates=shared(candidates - direction),
        hidden_from_saes=shared(by_saes - direction),
        hidden_from_rotated=None
        if reason or not rotated
        else random_range([float((s - direction).mean() / fall.mean()) for s in rotated]),
        carried_by_error=shared(clean - error),
        random_features=random_shares(random_sets),
        random_direction=random_parts(Part.STREAM),
        random_error=random_parts(Part.ERROR),
        reason=reason,
        layers=tuple(layers),
    )


def layer_coverages(
    harmful: Mapping[int, Projections],
    harmless: Mapping[int, Projections],
    cosines: Mapping[int, Float[np.ndarray, "direction d_sae"]],
    *,
    per_layer: int,
    seed: int,
) -> list[LayerCoverage]:
    """By layer, the share of the gap between harmful and harmless prompts that the SAE represents, and
    the cosine of its `per_layer` nearest decoder rows.

    Direction 0 is the refusal direction, those after it are random ones.
    """
    return [
        _layer_coverage(
            layer,
            harmful[layer],
            harmless[layer],
            np.sort(cosines[layer], axis=1)[:, -per_layer:].mean(axis=1),
            seed=seed,
        )
        for layer in sorted(harmful)
    ]


def _layer_coverage(
    layer: int,
    harmful: Projections,
    harmless: Projections,
    nearest: Float[np.ndarray, " direction"],
    *,
    seed: int,
) -> LayerCoverage:
    # One column each: the stream's component, and the reconstruction's.
    both = [np.stack([p.stream[:, 0], p.reconstruction[:, 0]], axis=1) for p in (harmful, harmless)]
    value = both[0].mean(axis=0) - both[1].mean(axis=0)
    draws = np.random.default_rng(seed)
    again = _resampled(both[0], draws) - _resampled(both[1], draws)
    n, fewest = len(both[0]) + len(both[1]), min(map(len, both))
    gap = replace(between_quantiles(float(value[0]), again[:, 0], n=fewest), n=n)
    rounding = _ROUNDING * max(harmful.length, harmless.length)
    told_apart = (again[:, 0] > rounding).all() or (again[:, 0] < -rounding).all()
    known = (
        replace(
            between_quantiles(float(value[1] / value[0]), again[:, 1] / again[:, 0], n=fewest), n=n
        )
        if told_apart
        else None
    )
    slopes = _slopes(harmful, harmless, rounding)
    known_slopes = [one for one in slopes[1:] if one is not None]
    return LayerCoverage(
        layer=layer,
        gap=gap,
        in_reconstruction=known,
        in_error=_rest(known) if known is not None else None,
        gap_random=random_range(
            (harmful.stream[:, 1:].mean(axis=0) - harmless.stream[:, 1:].mean(axis=0)).tolist()
        ),
        slope=slopes[0],
        random=random_range(known_slopes) if known_slopes else None,
        nearest_rows=float(nearest[0]),
        nearest_rows_random=random_range(nearest[1:].tolist()),
    )


def _rest(share: Estimate) -> Estimate:
    return Estimate(
        value=1.0 - share.value,
        low=1.0 - share.high,
        high=1.0 - share.low,
        n=share.n,
        method=share.method,
    )


def _resampled(
    own: Float[np.ndarray, "prompt two"], draws: np.random.Generator
) -> Float[np.ndarray, "draw two"]:
    return own[draws.integers(0, len(own), (_RESAMPLES, len(own)))].mean(axis=1)


def _slopes(harmful: Projections, harmless: Projections, rounding: float) -> list[float | None]:
    """Slope of the reconstruction's component on the stream's along each direction, within labels; None
    along those in which the stream does not vary."""
    stream, known = (
        np.concatenate([part - part.mean(axis=0) for part in parts])
        for parts in (
            (harmful.stream, harmless.stream),
            (harmful.reconstruction, harmless.reconstruction),
        )
    )
    moved, together = (stream * stream).sum(axis=0), (stream * known).sum(axis=0)
    varies = np.sqrt(moved / len(stream)) > rounding
    return [float(t / m) if v else None for t, m, v in zip(together, moved, varies, strict=True)]


def _why_no_shares(fall: Estimate) -> str:
    if fall.low > _SMALLEST_FALL:
        return ""
    if not fall.has_interval:
        return (
            f"removing the direction at the audited layers lowers the mean score by {fall.value:.2f} "
            f"nats on {fall.n} prompts, which are too few to take shares of"
        )
    return (
        f"removing the direction at the audited layers lowers the mean score by {fall.value:.2f} "
        f"[{fall.low:.2f}, {fall.high:.2f}] nats, which is too little, or too unsure, to take shares "
        "of"
    )
