"""Likeness of two checkpoints' differences of means, with its uncertainty.

Two draws of training prompts for one direction do not give a cosine of 1 either, so every number has an
interval: both differences are recomputed without one group of training prompts at a time, the same in
both (delete-a-group jackknife). Controls: the cosine of each checkpoint's direction with itself on
resampled prompts, and the variant's difference of means along random directions.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from sae_audit.comparison.types import DirectionChange
from sae_audit.findings import NO_INTERVAL, Estimate, RandomRange
from sae_audit.record.run import Run
from sae_audit.statistics import jackknife, no_interval, random_range

_TOO_FEW = NO_INTERVAL + "too few prompts to leave some out"

_Means = Float[np.ndarray, "layer d_model"]
_Number = Callable[[_Means, _Means], float]
"""Number made of the parent's difference of means and the variant's."""


def direction_change(a: Run, b: Run) -> DirectionChange | None:
    """Change of direction; None if neither run has one."""
    if a.stopped_early and b.stopped_early:
        return None
    holder = b if a.stopped_early else a
    chosen = holder.direction.selected
    both = _Both(a, b)
    return DirectionChange(
        chosen_in="variant" if a.stopped_early else "parent",
        cosines=tuple(
            both.estimated(_cosine(layer), within=(-1.0, 1.0)) for layer in range(both.n_layers)
        ),
        layer=chosen.layer,
        gap_ratio=both.estimated(_gap_ratio(chosen.layer), within=(-np.inf, np.inf)),
        gap_random=_along_random(holder, both.whole[0][chosen.layer], both.whole[1][chosen.layer]),
        stability_a=_stability(a),
        stability_b=_stability(b),
    )


def chosen_cosine(a: Run, b: Run, *, level: float) -> Estimate:
    """Cosine of both differences of means at the chosen layer, with its interval at a level."""
    assert not (a.stopped_early and b.stopped_early), "neither run has a direction"
    layer = (b if a.stopped_early else a).direction.selected.layer
    return _Both(a, b).estimated(_cosine(layer), within=(-1.0, 1.0), level=level)


class _Both:
    """Both checkpoints' differences of means at the position chosen in the parent, or else in the
    variant: whole, and without each group of training prompts."""

    def __init__(self, a: Run, b: Run) -> None:
        position = (b if a.stopped_early else a).direction.selected.position
        self.whole = (_difference(a, position), _difference(b, position))
        self.n_layers = len(self.whole[0])
        self._without = [
            (_difference(a, position, group), _difference(b, position, group))
            for group in _groups(a, b)
        ]
        self._n = sum(int(counts.sum()) for counts in a.group_sizes.values())

    def estimated(
        self, number: _Number, *, within: tuple[float, float], level: float = 0.95
    ) -> Estimate:
        value = number(*self.whole)
        if not self._without:
            return no_interval(value, self._n, _TOO_FEW)
        again = [number(*both) for both in self._without]
        return jackknife(value, again, n=self._n, within=within, level=level)


def _groups(a: Run, b: Run) -> list[int]:
    """Groups of training prompts in any mean of either; empty if one holds all of a label."""

    def shares(run: Run) -> list[Float[np.ndarray, " group"]]:
        return [counts / counts.sum() for counts in run.group_sizes.values()]

    taken = np.array([*shares(a), *shares(b)])
    return [] if (taken == 1.0).any() else np.flatnonzero(taken.any(axis=0)).tolist()


def _difference(run: Run, position: int, without: int | None = None) -> _Means:
    """Difference of means at the position, by layer, with a group of prompts left out."""

    def mean(label: str) -> _Means:
        if without is None:
            return run.means[label][:, position]
        counts = run.group_sizes[label].astype(float)
        counts[without] = 0.0
        means = run.means_by_group[label][:, :, position].astype(float)
        return np.tensordot(counts / counts.sum(), means, axes=1)

    return mean("harmful") - mean("harmless")


def _cosine(layer: int) -> _Number:
    def number(own: _Means, other: _Means) -> float:
        norms = np.linalg.norm(own[layer]) * np.linalg.norm(other[layer])
        return float(own[layer] @ other[layer] / norms)

    return number


def _gap_ratio(layer: int) -> _Number:
    def number(own: _Means, other: _Means) -> float:
        return float(other[layer] @ own[layer] / (own[layer] @ own[layer]))

    return number


def _along_random(
    holder: Run, own: Float[np.ndarray, " d_model"], other: Float[np.ndarray, " d_model"]
) -> RandomRange:
    randoms = holder.random_directions
    units = randoms / np.linalg.norm(randoms, axis=1, keepdims=True)
    return random_range((units @ other / np.linalg.norm(own)).tolist())


def _stability(run: Run) -> Estimate | None:
    return None if run.direction_check is None else run.direction_check.stability.own
