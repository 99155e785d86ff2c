"""Depth and compensation over many prompts, and the same behind random sets."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from sae_audit.findings import (
    Cascade,
    CascadeNull,
    Depths,
    Estimate,
    FirstWaveEffects,
    PooledCompensation,
    PooledNull,
)
from sae_audit.statistics import mean, ratio, resampled_ratio, share, sign_flip_p_value


def depths(cascades: Sequence[Cascade]) -> Depths:
    """Depths of cascades, each prompt one case."""
    counts = Counter(found.depth for found in cascades)
    return Depths(
        mean=mean([float(found.depth) for found in cascades]),
        deeper=share(sum(found.depth > 1 for found in cascades), len(cascades)),
        counts=dict(sorted(counts.items())),
        score_first=mean([found.waves[0].score_after for found in cascades]),
    )


def against_null_cascades(
    cascades: Sequence[Cascade], null: Sequence[CascadeNull], *, seed: int
) -> PooledNull | None:
    """The same behind random sets, on the prompts that have one; None if none has."""
    own = {found.prompt_id: found for found in cascades}
    random = [one.cascade for one in null if one.cascade is not None]
    if not random:
        return None
    differences = [float(own[one.prompt_id].depth - one.depth) for one in random]
    return PooledNull(
        depths=depths(random),
        p_value=sign_flip_p_value(differences, seed=seed),
        compensation=compensation(random),
    )


def compensation(cascades: Sequence[Cascade]) -> PooledCompensation | None:
    """Means in nats and their ratio, the final norm live; None if no prompt has a direct effect."""
    effects = _effects(cascades)
    if not effects:
        return None
    total = np.array([one.total for one in effects])
    direct = np.array([one.direct for one in effects])
    mean_direct = mean(direct)
    return PooledCompensation(
        total=mean(total),
        direct=mean_direct,
        undone=mean(direct - total),
        ratio=ratio(direct - total, direct) if mean_direct.low > 0.0 else None,
    )


def frozen_ratios(cascades: Sequence[Cascade]) -> tuple[Estimate | None, Estimate | None]:
    """The ratio with the final norm frozen, and its excess over the live one; None if undefined."""
    effects = _effects(cascades)
    frozen = np.array([one.direct_frozen for one in effects if one.direct_frozen is not None])
    # A model's norm can be frozen or not: all prompts have the number, or none has.
    assert frozen.size in (0, len(effects)), (frozen.size, len(effects))
    if not frozen.size:
        return None, None
    total = np.array([one.total for one in effects])
    direct = np.array([one.direct for one in effects])
    if mean(direct).low <= 0.0 or mean(frozen).low <= 0.0:
        return None, None
    # (1 - T/F) - (1 - T/D) = T (F - D) / (D F), of the same resampled prompts.
    difference = resampled_ratio(
        lambda times: (times @ total) * (times @ (frozen - direct)),
        lambda times: (times @ direct) * (times @ frozen),
        n=len(effects),
    )
    return ratio(frozen - total, frozen), difference


def _effects(cascades: Sequence[Cascade]) -> list[FirstWaveEffects]:
    return [found.effects for found in cascades if found.effects is not None]
