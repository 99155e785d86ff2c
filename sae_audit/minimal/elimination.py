"""Backward elimination, asked in batches.

Features are tried one after the other, each time removing one from the remaining set. A batch asks the
next few tries as if each before had succeeded; the answers up to the first failure equal those of the
sequential procedure, and the rest is discarded.
"""

from collections.abc import Callable, Sequence

import numpy as np

from sae_audit.margins import answers
from sae_audit.minimal.asking import Asking
from sae_audit.vocabulary import FeatureId, FeatureSet

Spares = Callable[[float, float], bool]
"""Whether a feature may go, given the scores before and after."""


def eliminate(
    features: Sequence[FeatureId], spares: Spares, *, patience: int
) -> Asking[FeatureSet]:
    """The features that remain after each, tried in order, is removed if it can be.

    `patience` bounds a batch; it changes the cost, never the answer.
    """
    left = frozenset(features)
    before = float((yield [left])[0])
    start, width = 0, 1
    while start < len(features):
        chain = _chain(left, features[start : start + width])
        after = [float(value) for value in (yield chain)]
        n_kept = _n_accepted(before, after, spares)
        if n_kept:
            left, before = chain[n_kept - 1], after[n_kept - 1]
        failed = n_kept < len(chain)
        start += n_kept + failed
        width = max(1, width // 2) if failed else min(patience, width * 2)
    return left


def eliminate_until_minimal(kept: FeatureSet, *, patience: int) -> Asking[FeatureSet]:
    """The set left by backward elimination by rising effect, repeated until a round removes none.

    If effects are not monotone, a feature needed early may be removable once others have gone.
    """
    while True:
        features = sorted(kept)
        spared = yield [kept - {feature} for feature in features]
        order = [features[i] for i in np.argsort(spared, kind="stable")]
        left = yield from eliminate(order, lambda _, after: answers(after), patience=patience)
        if left == kept:
            return left
        kept = left


def _chain(left: FeatureSet, features: Sequence[FeatureId]) -> list[FeatureSet]:
    chain: list[FeatureSet] = []
    for feature in features:
        left = left - {feature}
        chain.append(left)
    return chain


def _n_accepted(before: float, after: Sequence[float], spares: Spares) -> int:
    for n, value in enumerate(after):
        if not spares(before, value):
            return n
        before = value
    return len(after)
