"""Paired differences over prompts, stage by stage."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from sae_audit.comparison.likeness import beyond_shuffled, jaccard
from sae_audit.comparison.matching import MatchedRows, at_matched_margin, matched_rows
from sae_audit.comparison.testing import sign_flips, switches_p_value
from sae_audit.comparison.types import (
    LEVEL,
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
from sae_audit.prompts.types import CONTRASTED, Label
from sae_audit.record.run import Run
from sae_audit.statistics import (
    FEWEST_CASES,
    mean,
    mean_of_shares,
    share,
    share_difference,
    sign_flip_p_value,
)

_SHIFTS = 20
_FEWEST = 2
_FLIPS, _DRAWS = 2000, 10
"""Sign flips, and draws of the prompts that lose a feature, behind the power of its test."""


def behaviour(a: Run, b: Run, seed: int) -> tuple[BehaviourChange, ...]:
    """Changes of behaviour for each label whole, then by category; of look-alikes if both have them."""
    return changes_of_scores(a.scores, b.scores, seed)


def changes_of_scores(
    a: Sequence[PromptScore], b: Sequence[PromptScore], seed: int
) -> tuple[BehaviourChange, ...]:
    """The same from both checkpoints' scores of the same prompts."""
    changes: list[BehaviourChange] = []
    in_b = {s.prompt_id: s for s in b}
    audited = [s for s in a if s.split == "audit"]
    for label in Label:
        own = [s for s in audited if s.label == label]
        if label is Label.LOOKALIKE and len(own) < FEWEST_CASES:
            continue
        changes.append(_behaviour(label, "", own, [in_b[s.prompt_id] for s in own], seed))
        # Look-alikes have no categories here: each would be one more test, of a few prompts.
        categories = sorted({s.category for s in own} - {""}) if label in CONTRASTED else []
        for category in categories if len(categories) > 1 else ():
            some = [s for s in own if s.category == category]
            twins = [in_b[s.prompt_id] for s in some]
            changes.append(_behaviour(label, category, some, twins, seed))
    return tuple(changes)


def _behaviour(
    label: Label, category: str, a: Sequence[PromptScore], b: Sequence[PromptScore], seed: int
) -> BehaviourChange:
    scores_a, scores_b = np.array([s.score for s in a]), np.array([s.score for s in b])
    refused_a, refused_b = refuses(scores_a), refuses(scores_b)
    return BehaviourChange(
        label=label.value,
        category=category,
        refused_a=share(int(refused_a.sum()), len(a)),
        refused_b=share(int(refused_b.sum()), len(b)),
        refused=_switches(refused_b.astype(float) - refused_a.astype(float)),
        score=paired(scores_b - scores_a, seed),
    )


def _switches(differences: np.ndarray) -> Paired:
    """Differences of refusing (-1, 0 or 1), with an interval that has a width even if no prompt
    switched, or all did."""
    less, more = int((differences < 0).sum()), int((differences > 0).sum())
    return Paired(
        difference=share_difference(
            int((differences > 0).sum()), int((differences < 0).sum()), len(differences)
        ),
        spread=float(differences.std(ddof=1)) if len(differences) > 1 else 0.0,
        p_value=switches_p_value(less, more) if differences.any() else 1.0,
    )


def paired(differences: np.ndarray, seed: int) -> Paired:
    return Paired(
        difference=mean(differences),
        spread=float(differences.std(ddof=1)) if len(differences) > 1 else 0.0,
        p_value=sign_flip_p_value(differences, seed=seed),
    )


def switched(a: Run, b: Run) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Audit prompts that lost refusal, and those that gained it."""
    in_b = {s.prompt_id: s.score for s in b.scores}
    own = [s for s in a.scores if s.split == "audit"]
    lost = tuple(s.prompt_id for s in own if refuses(s.score) and not refuses(in_b[s.prompt_id]))
    gained = tuple(s.prompt_id for s in own if not refuses(s.score) and refuses(in_b[s.prompt_id]))
    return lost, gained


_OfBoth = tuple[Float[np.ndarray, " prompt"], Float[np.ndarray, " prompt"]]


def _scores(a: Run, b: Run, prompts: Sequence[str]) -> _OfBoth:
    """Clean scores of the prompts in both."""
    of_a, of_b = ({one.prompt_id: one.score for one in run.scores} for run in (a, b))
    return np.array([of_a[one] for one in prompts]), np.array([of_b[one] for one in prompts])


def _counts(a: Sequence[int], b: Sequence[int]) -> _OfBoth:
    return np.array(a, dtype=float), np.array(b, dtype=float)


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
    counts = _counts([in_a[p] for p in both], [in_b[p] for p in both])
    return DirectionsNeededChange(
        needed=paired(counts[1] - counts[0], seed),
        at_margin=at_matched_margin(counts, _scores(a, b, both), seed=seed),
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
    overlaps = np.array([[jaccard(sets_a[p], sets_b[q]) for q in both] for p in both])
    elsewhere = [overlaps[i, [j for j in range(n) if j != i]].mean() for i in range(n)]
    sizes = _counts([len(sets_a[p]) for p in both], [len(sets_b[p]) for p in both])
    scores = _scores(a, b, both)
    pooled = [run.pooled_set for run in (a, b)]
    beyond, beyond_p = beyond_shuffled(overlaps, seed=seed)
    shifts, p_by_losses, null = _shifts(
        [sets_a[p] for p in both], [sets_b[p] for p in both], scores, seed
    )
    return FeatureChange(
        n=n,
        overlap=mean_of_shares(np.diag(overlaps)),
        overlap_shuffled=mean_of_shares(elsewhere),
        beyond_shuffled=beyond,
        beyond_shuffled_p=beyond_p,
        size=paired(sizes[1] - sizes[0], seed),
        size_at_margin=at_matched_margin(sizes, scores, seed=seed),
        pooled_overlap=(
            jaccard(frozenset(pooled[0].features), frozenset(pooled[1].features))
            if pooled[0] is not None and pooled[1] is not None
            else None
        ),
        shifts=shifts,
        p_by_losses=p_by_losses,
        shift_under_null=null,
    )


def _shifts(
    a: Sequence[frozenset[Feature]],
    b: Sequence[frozenset[Feature]],
    scores: _OfBoth,
    seed: int,
) -> tuple[tuple[FeatureShift, ...], tuple[float, ...], float]:
    """The largest changes; the test's p-value by number of losses; the largest change of any feature
    under the null."""
    names = sorted(frozenset[Feature]().union(*a, *b))
    held_a, held_b = (
        np.array([[f in own for f in names] for own in sets], dtype=float) for sets in (a, b)
    )
    change = held_b - held_a
    signs = sign_flips(len(a), seed)
    null = np.abs(signs @ change).max(axis=1) / len(a)
    rows = matched_rows(held_a, held_b, *scores)
    p_values, at_margin = rows.p_values(seed), rows.values
    largest = np.argsort(-np.abs(change.mean(axis=0)), kind="stable").tolist()
    kept = largest[:_SHIFTS] + [i for i in largest[_SHIFTS:] if p_values[i] <= LEVEL]
    shifts = tuple(
        FeatureShift(
            feature=names[i],
            share_a=float(held_a[:, i].mean()),
            share_b=float(held_b[:, i].mean()),
            difference=_switches(change[:, i]).difference,
            change_at_margin=float(at_margin[i]),
            p_value=float(p_values[i]),
        )
        for i in kept
    )
    return shifts, _p_by_losses(rows, scores, seed), float(np.quantile(null, 1 - LEVEL))


def _p_by_losses(rows: MatchedRows, scores: _OfBoth, seed: int) -> tuple[float, ...]:
    """P-value that one more feature would have, held by every prompt of the parent and lost on k
    prompts drawn at random, beside the features that there are; the mean over draws, by k from 1."""
    n = len(scores[0])
    if rows.adjusted is None or len(rows.matched) < _FEWEST:
        return ()
    # Prompts in random orders, of which the first k lose it: a column for each k of each order.
    ranks = np.random.default_rng(seed).permuted(np.tile(np.arange(n), (_DRAWS, 1)), axis=1)
    lost = (ranks[:, :, None] < np.arange(1, n + 1)).transpose(1, 0, 2).reshape(n, -1)
    planted = matched_rows(np.ones(lost.shape), 1.0 - lost, *scores)
    assert planted.adjusted is not None, "the scores are the same"
    p_values = np.maximum(
        _beside(rows.matched, planted.matched, seed), _beside(rows.adjusted, planted.adjusted, seed)
    )
    return tuple(p_values.reshape(_DRAWS, n).mean(axis=0).tolist())


def _beside(
    rows: Float[np.ndarray, "case column"], planted: Float[np.ndarray, "case planted"], seed: int
) -> Float[np.ndarray, " planted"]:
    """P-value of each planted column, were it one more column of the rows."""
    flips = sign_flips(len(rows), seed, n_random=_FLIPS)
    largest = np.abs(flips @ rows).max(axis=1)[:, None]
    p_values: list[Float[np.ndarray, " some"]] = []
    for some in np.array_split(planted, _DRAWS, axis=1):
        own = np.abs(some.sum(axis=0)) - 1e-9
        p_values.append(((largest >= own) | (np.abs(flips @ some) >= own)).mean(axis=0))
    return np.concatenate(p_values)


def cascades(a: Run, b: Run, seed: int) -> CascadeChange | None:
    """None if fewer than two prompts have a cascade in both."""
    by_a = {c.prompt_id: c for c in a.cascades}
    by_b = {c.prompt_id: c for c in b.cascades}
    both = sorted(by_a.keys() & by_b.keys())
    if len(both) < _FEWEST:
        return None
    depths = _counts([by_a[p].depth for p in both], [by_b[p].depth for p in both])
    ratios = [(by_a[p].compensation_ratio, by_b[p].compensation_ratio) for p in both]
    stated = np.array([y - x for x, y in ratios if x is not None and y is not None])
    return CascadeChange(
        n=len(both),
        depth=paired(depths[1] - depths[0], seed),
        depth_at_margin=at_matched_margin(depths, _scores(a, b, both), seed=seed),
        compensation=mean(stated) if len(stated) >= _FEWEST else None,
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
