"""Paired differences over prompts, stage by stage."""

from collections.abc import Sequence

import numpy as np

from sae_audit.comparison.types import (
    BehaviourChange,
    CascadeChange,
    DirectionsNeededChange,
    FeatureChange,
    FeatureShift,
    Paired,
    QualityChange,
)
from sae_audit.findings import Feature, PromptScore
from sae_audit.margins import refuses
from sae_audit.record.run import Run
from sae_audit.statistics import (
    mean,
    mean_of_shares,
    share,
    share_difference,
    sign_flip_p_value,
)

_SHIFTS = 20
_PERMUTATIONS = 4000
_LEVEL = 0.95
_FEWEST = 2


def behaviour(a: Run, b: Run, seed: int) -> tuple[BehaviourChange, ...]:
    """Changes of behaviour for each label whole, then by category."""
    changes: list[BehaviourChange] = []
    in_b = {s.prompt_id: s for s in b.scores}
    audited = [s for s in a.scores if s.split == "audit"]
    for label in ("harmful", "harmless"):
        own = [s for s in audited if s.label == label]
        changes.append(_behaviour(label, "", own, [in_b[s.prompt_id] for s in own], seed))
        categories = sorted({s.category for s in own} - {""})
        for category in categories if len(categories) > 1 else ():
            some = [s for s in own if s.category == category]
            twins = [in_b[s.prompt_id] for s in some]
            changes.append(_behaviour(label, category, some, twins, seed))
    return tuple(changes)


def _behaviour(
    label: str, category: str, a: Sequence[PromptScore], b: Sequence[PromptScore], seed: int
) -> BehaviourChange:
    scores_a, scores_b = np.array([s.score for s in a]), np.array([s.score for s in b])
    refused_a, refused_b = refuses(scores_a), refuses(scores_b)
    return BehaviourChange(
        label=label,
        category=category,
        refused_a=share(int(refused_a.sum()), len(a)),
        refused_b=share(int(refused_b.sum()), len(b)),
        refused=_switches(refused_b.astype(float) - refused_a.astype(float), seed),
        score=paired(scores_b - scores_a, seed),
    )


def _switches(differences: np.ndarray, seed: int) -> Paired:
    """Differences between 0 and 1 (-1, 0 or 1), with an interval that has a width even if no prompt
    switched, or all did."""
    return Paired(
        difference=share_difference(
            int((differences > 0).sum()), int((differences < 0).sum()), len(differences)
        ),
        p_value=sign_flip_p_value(differences, seed=seed),
    )


def paired(differences: np.ndarray, seed: int) -> Paired:
    return Paired(
        difference=mean(differences, seed=seed),
        p_value=sign_flip_p_value(differences, seed=seed),
    )


def switched(a: Run, b: Run) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Audit prompts that lost refusal, and those that gained it."""
    in_b = {s.prompt_id: s.score for s in b.scores}
    own = [s for s in a.scores if s.split == "audit"]
    lost = tuple(s.prompt_id for s in own if refuses(s.score) and not refuses(in_b[s.prompt_id]))
    gained = tuple(s.prompt_id for s in own if not refuses(s.score) and refuses(in_b[s.prompt_id]))
    return lost, gained


def directions_needed(a: Run, b: Run, seed: int) -> DirectionsNeededChange | None:
    """None if fewer than two prompts have their directions counted in both."""
    if a.successive_directions is None or b.successive_directions is None:
        return None
    in_a, in_b = a.successive_directions.needed, b.successive_directions.needed
    both = sorted(in_a.keys() & in_b.keys())
    if len(both) < _FEWEST:
        return None
    beyond = {
        prompt_id
        for found in (a.successive_directions, b.successive_directions)
        for prompt_id in both
        if found.needed[prompt_id] > len(found.directions)
    }
    return DirectionsNeededChange(
        needed=paired(np.array([in_b[p] - in_a[p] for p in both], dtype=float), seed),
        n_beyond=len(beyond),
    )


def features(a: Run, b: Run, seed: int) -> FeatureChange | None:
    """None if fewer than two prompts were flipped in both."""
    sets_a = {m.prompt_id: frozenset(m.features) for m in a.minimal_sets if m.flipped}
    sets_b = {m.prompt_id: frozenset(m.features) for m in b.minimal_sets if m.flipped}
    both = sorted(sets_a.keys() & sets_b.keys())
    if len(both) < _FEWEST:
        return None
    n = len(both)
    jaccard = np.array([[_jaccard(sets_a[p], sets_b[q]) for q in both] for p in both])
    elsewhere = [jaccard[i, [j for j in range(n) if j != i]].mean() for i in range(n)]
    sizes = np.array([len(sets_b[p]) - len(sets_a[p]) for p in both], dtype=float)
    pooled = [run.pooled_set for run in (a, b)]
    shifts, null = _shifts([sets_a[p] for p in both], [sets_b[p] for p in both], seed)
    return FeatureChange(
        n=n,
        overlap=mean_of_shares(np.diag(jaccard)),
        overlap_shuffled=mean_of_shares(elsewhere),
        beyond_shuffled=paired(np.diag(jaccard) - np.array(elsewhere), seed),
        size=paired(sizes, seed),
        pooled_overlap=(
            _jaccard(frozenset(pooled[0].features), frozenset(pooled[1].features))
            if pooled[0] is not None and pooled[1] is not None
            else None
        ),
        shifts=shifts,
        shift_under_null=null,
    )


def _jaccard(one: frozenset, other: frozenset) -> float:
    union = one | other
    assert union, "two empty sets"
    return len(one & other) / len(union)


def _shifts(
    a: Sequence[frozenset[Feature]], b: Sequence[frozenset[Feature]], seed: int
) -> tuple[tuple[FeatureShift, ...], float]:
    """The largest changes, and the largest change of any feature under the null."""
    names = sorted(frozenset[Feature]().union(*a, *b))
    held_a, held_b = (np.array([[f in own for f in names] for own in sets]) for sets in (a, b))
    change = held_b.astype(float) - held_a
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (_PERMUTATIONS, len(a)))
    null = np.abs(signs @ change).max(axis=1) / len(a)
    largest = np.argsort(-np.abs(change.mean(axis=0)), kind="stable")[:_SHIFTS]
    shifts = tuple(
        FeatureShift(
            feature=names[i],
            share_a=float(held_a[:, i].mean()),
            share_b=float(held_b[:, i].mean()),
            difference=_switches(change[:, i], seed),
        )
        for i in largest
    )
    return shifts, float(np.quantile(null, _LEVEL))


def cascades(a: Run, b: Run, seed: int) -> CascadeChange | None:
    """None if fewer than two prompts have a cascade in both."""
    by_a = {c.prompt_id: c for c in a.cascades}
    by_b = {c.prompt_id: c for c in b.cascades}
    both = sorted(by_a.keys() & by_b.keys())
    if len(both) < _FEWEST:
        return None
    depths = np.array([by_b[p].depth - by_a[p].depth for p in both], dtype=float)
    ratios = [(by_a[p].compensation_ratio, by_b[p].compensation_ratio) for p in both]
    stated = np.array([y - x for x, y in ratios if x is not None and y is not None])
    return CascadeChange(
        n=len(both),
        depth=paired(depths, seed),
        compensation=paired(stated, seed) if len(stated) >= _FEWEST else None,
    )


def quality(a: Run, b: Run) -> tuple[QualityChange, ...]:
    in_b = {one.layer: one.explained_variance_without_bos for one in b.quality}
    return tuple(
        QualityChange(
            layer=one.layer,
            explained_variance_a=one.explained_variance_without_bos,
            explained_variance_b=in_b[one.layer],
        )
        for one in a.quality
    )
