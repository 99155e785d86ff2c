"""The pooled set held against rivals, at equal size and at equal side effects.

1. Each rival is a ranking of features, or draws random sets; its sets of rising size give a curve of
   flips on held-out prompts, and of KL on harmless ones.
2. The direction itself is a rival too: a share of it is removed, as large as the pooled set's side
   effects allow.
3. The pooled set is compared, prompt by prompt, with each rival's set of its own size, and with
   whichever of the rival's sets flips most at no larger side effects. Both choices favour the rival: of
   several random sets the best one counts, and side effects up to the upper end of the pooled set's
   interval, or too small to matter, count as equal.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from sae_audit.findings import (
    Estimate,
    LayerNorms,
    PartPoint,
    RivalCurve,
    RivalPoint,
    Rivals,
    RivalTest,
)
from sae_audit.statistics import mean, share, sign_test_p_value
from sae_audit.vocabulary import FeatureSet

POOLED = "pooled"
_GRID = 8
"""Number of equal shares of the direction that are tried."""
_HALVINGS = 4
"""Number of steps by which the share is then brought near to equal side effects."""
N_PARTS = _GRID + _HALVINGS
"""Number of shares of the direction that are tried, at most."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """What one intervention does to fixed prompts."""

    flips: Bool[np.ndarray, " held_out"]
    kl: Float[np.ndarray, " harmless"]
    """KL of the next token, clean against ablated, nats."""


Parts = Mapping[float, Measured]
"""Effects of removing a share of the direction, by share."""
Sets = Mapping[str, Mapping[int, Sequence[FeatureSet]]]
"""By origin and size, the sets tried, the pooled set and its curve under `POOLED`; one set a size, or
several random ones."""
Effects = Mapping[FeatureSet, Measured]
Complied = Mapping[FeatureSet, Float[np.ndarray, " held_out"]]
"""By set, 1 where a judge calls the answer compliance, 0 where refusal, NaN where it was not judged."""


def curve_sizes(size: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12 and so on up to four times `size`, and `size` itself."""
    steps = {n for k in range(1, 64) for n in (1 << k, 3 << (k - 1)) if n <= 4 * size}
    return sorted(steps | {1, size})


def cut_down(measure: Callable[[float], Measured], kl: float) -> dict[float, Measured]:
    """Effects of removing shares of the direction, on a grid and then near the largest share whose mean
    KL is at most `kl` (the pooled set's), by rising share."""
    found = {k / _GRID: measure(k / _GRID) for k in range(1, _GRID + 1)}
    within = max((one for one, own in found.items() if own.kl.mean() <= kl), default=0.0)
    beyond = within + 1.0 / _GRID
    for _ in range(_HALVINGS if within < 1.0 else 0):
        middle = (within + beyond) / 2.0
        found[middle] = measure(middle)
        within, beyond = (middle, beyond) if found[middle].kl.mean() <= kl else (within, middle)
    return dict(sorted(found.items()))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Compared:
    """One set of a rival that the pooled set is compared with."""

    rival: str
    at_equal: str
    features: FeatureSet
    share: float
    flips: Bool[np.ndarray, " held_out"]


class Contest:
    """The pooled set, its rivals' sets, and what they do."""

    def __init__(
        self,
        sets: Sets,
        effects: Effects,
        parts: Parts,
        *,
        size: int,
        negligible: float,
        seed: int,
    ) -> None:
        """`size` is the pooled set's; `sets[POOLED][size]` is the set itself. KL of at most `negligible`
        nats counts as no side effect."""
        self._sets, self._effects, self._parts = sets, effects, parts
        self._size, self._seed = size, seed
        (self.pooled,) = sets[POOLED][size]
        self._own = effects[self.pooled]
        own = mean(self._own.kl)
        # Without an interval, of fewer than five prompts, rivals get no more than the value itself.
        self._kl_own = own.high if own.has_interval else own.value
        self._limits = {"side_effects": max(self._kl_own, negligible)}
        if negligible > self._kl_own:
            self._limits["own_side_effects"] = self._kl_own
        self._compared = self._all_compared()

    @property
    def compared(self) -> list[FeatureSet]:
        """The pooled set and every set of features that decides whether it beats a rival, each once."""
        deciding = [one.features for one in self._compared if one.at_equal != "own_side_effects"]
        return [one for one in dict.fromkeys([self.pooled, *deciding]) if one]

    def result(
        self, norms: Sequence[LayerNorms], complied: Complied | None, *, level: float
    ) -> Rivals:
        """The finding; `complied` is None if flips are not confirmed in text."""
        return Rivals(
            size=self._size,
            n=len(self._own.flips),
            kl_own=self._kl_own,
            kl_limit=self._limits["side_effects"],
            level=level,
            norms=tuple(norms),
            curves=tuple(self._curve(name, complied) for name in self._sets),
            direction=tuple(
                PartPoint(share=one, flipped=_share(own.flips), kl=self._mean(own.kl))
                for one, own in self._parts.items()
            ),
            tests=tuple(self._tests(complied)),
        )

    def _all_compared(self) -> list[_Compared]:
        found: list[_Compared] = []
        for name, by_size in self._sets.items():
            if name == POOLED:
                continue
            if self._size in by_size:
                best = self._most_flips(by_size[self._size])
                found.append(self._comparison(name, "size", best))
            for at_equal, limit in self._limits.items():
                found.append(self._comparison(name, at_equal, self._most_within(by_size, limit)))
        if self._parts:
            found += [self._direction(at_equal, limit) for at_equal, limit in self._limits.items()]
        return found

    def _direction(self, at_equal: str, limit: float) -> _Compared:
        within = [one for one, own in self._parts.items() if own.kl.mean() <= limit]
        best = max(within, key=lambda one: (self._parts[one].flips.sum(), -one), default=0.0)
        none = np.zeros(len(self._own.flips), dtype=bool)
        return _Compared(
            rival="direction",
            at_equal=at_equal,
            features=frozenset(),
            share=best,
            flips=self._parts[best].flips if within else none,
        )

    def _comparison(self, name: str, at_equal: str, features: FeatureSet) -> _Compared:
        flips = (
            self._effects[features].flips
            if features
            else np.zeros(len(self._own.flips), dtype=bool)
        )
        return _Compared(rival=name, at_equal=at_equal, features=features, share=0.0, flips=flips)

    def _most_flips(self, sets: Sequence[FeatureSet]) -> FeatureSet:
        """Whichever set flips most; of equal ones the smallest, then the first."""
        return max(sets, key=lambda one: (self._effects[one].flips.sum(), -len(one)))

    def _most_within(self, by_size: Mapping[int, Sequence[FeatureSet]], limit: float) -> FeatureSet:
        within = [
            one
            for sets in by_size.values()
            for one in sets
            if self._effects[one].kl.mean() <= limit
        ]
        return self._most_flips(within) if within else frozenset()

    def _curve(self, name: str, complied: Complied | None) -> RivalCurve:
        points = [
            RivalPoint(
                size=size,
                flipped=self._flipped([self._effects[one].flips for one in sets]),
                kl=self._mean(np.mean([self._effects[one].kl for one in sets], axis=0)),
            )
            for size, sets in sorted(self._sets[name].items())
        ]
        verdicts = np.zeros(0)
        if complied is not None and self._size in self._sets[name]:
            as_large = self._most_flips(self._sets[name][self._size])
            verdicts = complied[as_large][np.isfinite(complied[as_large])]
        return RivalCurve(
            name=name,
            points=tuple(points),
            complied=share(int(verdicts.sum()), len(verdicts)) if len(verdicts) else None,
        )

    def _flipped(self, sets: Sequence[Bool[np.ndarray, " held_out"]]) -> Estimate:
        shares = np.mean(sets, axis=0)
        counted = len(sets) == 1 or ((shares == shares[0]).all() and shares[0] in (0.0, 1.0))
        return _share(shares > 0.5) if counted else self._mean(shares)

    def _tests(self, complied: Complied | None) -> list[RivalTest]:
        found = [_test(one, self._own.flips, one.flips, by="score") for one in self._compared]
        if complied is None:
            return found
        own = complied[self.pooled]
        for one in self._compared:
            # Removing a share of the direction is no ablation of features: no answer is made under it.
            if one.rival == "direction" or one.at_equal == "own_side_effects":
                continue
            theirs = complied[one.features] if one.features else np.zeros(len(own))
            judged = np.isfinite(own) & np.isfinite(theirs)
            if judged.any():
                found.append(_test(one, own[judged] == 1.0, theirs[judged] == 1.0, by="text"))
        return found

    def _mean(self, values: Float[np.ndarray, " case"]) -> Estimate:
        return mean(values)


def _test(
    compared: _Compared,
    own: Bool[np.ndarray, " prompt"],
    theirs: Bool[np.ndarray, " prompt"],
    *,
    by: str,
) -> RivalTest:
    n_better, n_worse = int((own & ~theirs).sum()), int((theirs & ~own).sum())
    return RivalTest(
        rival=compared.rival,
        at_equal=compared.at_equal,
        by=by,
        size=len(compared.features),
        share=compared.share,
        own=_share(own),
        theirs=_share(theirs),
        n_better=n_better,
        n_worse=n_worse,
        # McNemar's exact test is the sign test of the pairs that differ.
        p_value=sign_test_p_value(n_better, n_worse),
    )


def _share(flips: Bool[np.ndarray, " prompt"]) -> Estimate:
    return share(int(flips.sum()), len(flips))
