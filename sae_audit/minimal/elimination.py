"""Sequential elimination, asked in batches.

Greedy filtering tries to spare one feature after the other, each time from what is left. Asked
one by one that is a pass per feature. Here the next few tries are asked in one batch, as if each
before had succeeded; the answers up to the first failure are exactly those of the sequential
procedure, the rest is thrown away.
"""

from collections.abc import Callable, Sequence

from sae_audit.vocabulary import FeatureId, FeatureSet, Score

Spares = Callable[[float, float], bool]
"""Whether a feature may go, from the score before and the score after sparing it."""


def eliminate(
    score: Score, features: Sequence[FeatureId], spares: Spares, *, patience: int
) -> tuple[FeatureSet, int]:
    """What is left once every feature that can be spared, tried in order, has gone.

    Returns the features left and the number of sets scored. `patience` bounds a batch; it changes
    the cost, never the answer.
    """
    left = frozenset(features)
    before = float(score([left])[0])
    n_scored, start, width = 1, 0, 1
    while start < len(features):
        chain = _chain(left, features[start : start + width])
        after = [float(value) for value in score(chain)]
        n_scored += len(chain)
        n_spared = _n_accepted(before, after, spares)
        if n_spared:
            left, before = chain[n_spared - 1], after[n_spared - 1]
        failed = n_spared < len(chain)
        start += n_spared + failed
        width = max(1, width // 2) if failed else min(patience, width * 2)
    return left, n_scored


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
