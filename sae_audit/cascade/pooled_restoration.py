"""What activates restores over many prompts, beside its controls; necessity; what is switched off."""

from collections.abc import Sequence

import numpy as np

from sae_audit.findings import (
    Cascade,
    Estimate,
    Necessity,
    PooledRestoration,
    PooledSameScore,
    PooledSwitchedOff,
    Restoration,
    SingleEffects,
)
from sae_audit.margins import answers
from sae_audit.statistics import mean, random_range, ratio, share


def pooled_restoration(
    cascades: Sequence[Cascade],
    restorations: Sequence[Restoration],
    *,
    min_effect: float,
) -> PooledRestoration | None:
    """Means over the prompts on which it was measured; None if there is none.

    What activates is ranked among its stand-ins prompt by prompt, and the ranks are averaged: features
    that many prompts share do not count once per prompt.
    """
    measured = [one for one in restorations if one.restored is not None]
    if not measured:
        return None
    restored = [_restored(one) for one in measured]
    stand_ins = _means_by_set(measured)
    ranks = [_rank(one) for one in measured if one.stand_in_sets]
    own, others, differences = _single(cascades, restorations, min_effect)
    return PooledRestoration(
        restored=mean(restored),
        least=min_effect,
        n_held=mean([float(one.n_held) for one in measured]),
        n_stand_ins=mean([float(one.n_stand_ins) for one in measured]),
        ratio=_ratio(cascades, measured),
        stand_ins=random_range(stand_ins) if stand_ins else None,
        stand_in_difference=mean(
            [_restored(one) - _mean_or_0(one.stand_in_sets) for one in measured]
        )
        if stand_ins
        else None,
        p_value=float(np.mean(ranks)) if ranks else None,
        same_score=_same_score(measured, min_effect),
        single=own,
        single_stand_ins=others,
        single_difference=differences,
    )


def _restored(one: Restoration) -> float:
    assert one.restored is not None, one.prompt_id
    return one.restored


def _rank(one: Restoration) -> float:
    own = _restored(one)
    return (1 + sum(fall >= own for fall in one.stand_in_sets)) / (1 + len(one.stand_in_sets))


def _mean_or_0(values: Sequence[float]) -> float:
    """Nothing was ablated where there is no stand-in, and so nothing fell."""
    return float(np.mean(values)) if values else 0.0


def _means_by_set(measured: Sequence[Restoration]) -> list[float]:
    """Mean over prompts of each set's fall; empty if no prompt has a set."""
    n_sets = max(len(one.stand_in_sets) for one in measured)
    falls = [one.stand_in_sets or (0.0,) * n_sets for one in measured]
    return np.array(falls).mean(axis=0).tolist() if n_sets else []


def _ratio(cascades: Sequence[Cascade], measured: Sequence[Restoration]) -> Estimate | None:
    effects = {found.prompt_id: found.effects for found in cascades}
    direct = [one.direct for m in measured if (one := effects[m.prompt_id]) is not None]
    assert len(direct) == len(measured), "a prompt without effects has nothing restored"
    if mean(direct).low <= 0.0:
        return None
    return ratio([_restored(one) for one in measured], direct)


def _same_score(measured: Sequence[Restoration], min_effect: float) -> PooledSameScore | None:
    both = [
        (_restored(one), there, there.restored)
        for one in measured
        if (there := one.same_score) is not None and there.restored is not None
    ]
    if not both:
        return None
    found = [one for _, one, _ in both]
    return PooledSameScore(
        n_reached=sum(one.reached for one in found),
        score=mean([one.score for one in found]),
        n_ablated=mean([float(one.n_ablated) for one in found]),
        restored=mean([there for _, _, there in both]),
        difference=mean([own - there for own, _, there in both]),
        single=_shares([list(one.effects) for one in found], min_effect),
    )


def _single(
    cascades: Sequence[Cascade], restorations: Sequence[Restoration], min_effect: float
) -> tuple[SingleEffects | None, SingleEffects | None, Estimate | None]:
    """Shares of dormant features, all that were tested, and of stand-ins that lower the score; and their
    difference."""
    tests = {found.prompt_id: [e for t in found.tests for e in t.effects] for found in cascades}
    own = [tests[one.prompt_id] for one in restorations]
    others = [[e for t in one.stand_in_tests for e in t.effects_stand_ins] for one in restorations]
    tested = [(a, b) for a, b in zip(own, others, strict=True) if a and b]
    differences = [_share(a, min_effect) - _share(b, min_effect) for a, b in tested]
    return (
        _shares(own, min_effect),
        _shares(others, min_effect),
        mean(differences) if tested else None,
    )


def _shares(effects: Sequence[Sequence[float]], min_effect: float) -> SingleEffects | None:
    tested = [one for one in effects if one]
    if not tested:
        return None
    return SingleEffects(
        share=mean([_share(one, min_effect) for one in tested]),
        n_tests=sum(map(len, tested)),
    )


def _share(effects: Sequence[float], min_effect: float) -> float:
    return sum(effect >= min_effect for effect in effects) / len(effects)


def necessity(cascades: Sequence[Cascade], restorations: Sequence[Restoration]) -> Necessity:
    """Whether flips fail with the dormant features left out of the ablation."""
    deeper = [one for one in cascades if one.depth > 1 and answers(one.waves[-1].score_after)]
    flipped = [
        one.pooled_set
        for one in restorations
        if one.pooled_set is not None and one.pooled_set.n_dormant and answers(one.pooled_set.score)
    ]
    return Necessity(
        n_with_dormant=len(deeper),
        needed=share(sum(one.needs_dormant for one in cascades), len(cascades)),
        n_pooled=len(flipped),
        n_pooled_needed=sum(not answers(one.score_without) for one in flipped),
    )


def switched_off(restorations: Sequence[Restoration]) -> PooledSwitchedOff | None:
    """Means of each prompt's shares; None if no prompt has any."""
    found = [one.switched_off for one in restorations if one.switched_off is not None]
    found = [one for one in found if one.n_features]
    if not found:
        return None
    return PooledSwitchedOff(
        off=mean([one.n_off / one.n_features for one in found]),
        weaker=mean([one.n_weaker / one.n_features for one in found]),
    )
