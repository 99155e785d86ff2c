"""Minimal sets within limits of what their ablation changes on harmless prompts.

A feature that carries much of the stream flips refusal by breaking the model, and a search by score
alone finds it first. So a set beyond the limits is given up: the feature that costs most leaves the
pool, and the search begins again, until a set within the limits is found or the rest flips nothing.
From the fifth set on twice as many leave as before, that of the set and those of the pool that cost most
alone, up to a quarter of it, or a pool that flips only beyond the limits would take a search for each of
its features.
That such a set is found is proved by its scores; that none exists is not proved if none is found.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from sae_audit.config import MinimalSettings, SideEffectSettings
from sae_audit.findings import MinimalSet
from sae_audit.minimal.asking import Asking
from sae_audit.minimal.search import minimal_set
from sae_audit.vocabulary import FeatureId, FeatureSet

Changes = Callable[[Sequence[FeatureSet], slice], Float[np.ndarray, "set prompt change"]]
"""By set and harmless prompt of a slice of them, the KL (nats) and 1 if the first token changes."""

_ONE_AT_A_TIME = 4
"""Sets beyond the limits that give up a single feature if none is beyond them alone."""
_AT_ONCE = 4
"""Prompts on which a set is measured before it is decided whether more are needed."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much of each change a set may cause, and what sets change.

    No change is negative, so that what a set changes on some prompts is the least that it changes on
    all: whether it is beyond the limits, and which of several changes least, is often certain early, and
    a set is measured on no more prompts than that takes. What comes back is what all of them would say.
    """

    settings: SideEffectSettings
    changes: Changes
    n_prompts: int

    def hold(self, features: FeatureSet) -> bool:
        """Whether a set is within both limits."""
        return not self.beyond([features])[0]

    def beyond(
        self, sets: Sequence[FeatureSet], *, most_prompts: int | None = None
    ) -> Bool[np.ndarray, " set"]:
        """Which sets are beyond a limit; with `most_prompts`, those of which so many make it certain."""
        return self._excess_up_to(sets, most=1.0, n=most_prompts) > 1.0

    def excess(self, sets: Sequence[FeatureSet]) -> Float[np.ndarray, " set"]:
        """The larger of the two changes of each set, in units of its limit: above 1 it is beyond."""
        return self._excess_up_to(sets, most=math.inf)

    def costliest(self, features: FeatureSet) -> tuple[FeatureId, ...]:
        """The features that a set beyond the limits must give up: all that are beyond them alone; if
        there is none, the one without which the rest is least beyond."""
        ordered = sorted(features)
        alone = self.beyond([frozenset([feature]) for feature in ordered])
        beyond = tuple(f for f, one in zip(ordered, alone, strict=True) if one)
        without = [features - {feature} for feature in ordered]
        return beyond or (ordered[self._least_beyond(without)],)

    def costliest_alone(self, features: Sequence[FeatureId], n: int) -> tuple[FeatureId, ...]:
        """The `n` features that change most when ablated alone, as a few of the prompts say."""
        costs = self._on_first([frozenset([feature]) for feature in features])
        return tuple(features[i] for i in np.argsort(-costs, kind="stable")[:n].tolist())

    def _least_beyond(self, sets: Sequence[FeatureSet]) -> int:
        """Index of the set of the smallest excess, the first if several are equal."""
        likely = int(np.argmin(self._on_first(sets)))
        # No other set matters once it is further beyond than this one.
        (least,) = self.excess([sets[likely]])
        others = [i for i in range(len(sets)) if i != likely]
        bounds = self._excess_up_to([sets[i] for i in others], most=least)
        known = {likely: least, **dict(zip(others, bounds, strict=True))}
        return min(known, key=lambda i: (known[i], i))

    def _on_first(self, sets: Sequence[FeatureSet]) -> Float[np.ndarray, " set"]:
        """The least that their excess can be after the first prompts."""
        return self._of_sums(self.changes(sets, slice(0, _AT_ONCE)).sum(axis=1))

    def _excess_up_to(
        self, sets: Sequence[FeatureSet], *, most: float, n: int | None = None
    ) -> Float[np.ndarray, " set"]:
        """The excess of each set over the first `n` prompts (all of them if none is given); of one that
        is above `most`, a lower bound that is too."""
        n = self.n_prompts if n is None else min(n, self.n_prompts)
        step = n if most == math.inf else _AT_ONCE
        sums = np.zeros((len(sets), 2))
        left = np.arange(len(sets))
        for start in range(0, n, step):
            if not len(left):
                break
            asked = slice(start, min(start + step, n))
            sums[left] += self.changes([sets[i] for i in left.tolist()], asked).sum(axis=1)
            left = left[self._of_sums(sums[left]) <= most]
        return self._of_sums(sums)

    def _of_sums(self, sums: Float[np.ndarray, "set change"]) -> Float[np.ndarray, " set"]:
        """The excess if the prompts not summed over were not changed."""
        changes = sums / self.n_prompts
        kl = changes[:, 0] / self.settings.kl_limit
        limit = self.settings.first_tokens_limit
        others = changes[:, 1] / limit if limit else np.where(changes[:, 1] > 0.0, np.inf, 0.0)
        return np.maximum(kl, others)


def limited_set(
    unlimited: MinimalSet,
    orders: Sequence[Sequence[FeatureId]],
    settings: MinimalSettings,
    limits: Limits,
    *,
    beyond: FeatureSet = frozenset(),
    most: float = math.inf,
    most_given_up: float = math.inf,
) -> Asking[MinimalSet]:
    """A minimal set within the limits for the prompt of `unlimited`, the set found without them.

    `orders` are those of that search; `beyond` are features known to be beyond the limits alone. The set
    is empty, with the reason, if none is found. The search ends with a set beyond the limits, which is
    returned, if that has more than `most` features, or if `most_given_up` sets were given up before.
    """
    found, excluded, largest, n_given_up = unlimited, (), 0, 0
    n_asked = unlimited.n_sets_scored
    while found.flipped and not limits.hold(frozenset(found.features)):
        largest = max(largest, len(found.features))
        if len(found.features) > most or n_given_up >= most_given_up:
            break
        pool = [feature for feature in orders[0] if feature not in excluded]
        n_at_once = min(2 ** max(0, n_given_up - _ONE_AT_A_TIME + 1), len(pool) // 4)
        if n_at_once > 1:
            own = limits.costliest_alone(sorted(found.features), 1)
            rest = [feature for feature in pool if feature not in own]
            given_up = (*own, *limits.costliest_alone(rest, n_at_once - 1))
        else:
            given_up = limits.costliest(frozenset(found.features))
        if not excluded:
            given_up = (*given_up, *sorted(beyond.intersection(pool).difference(given_up)))
        excluded += given_up
        n_given_up += 1
        left = [[f for f in order if f not in excluded] for order in orders]
        if not left[0]:
            found = _given_up(found, len(orders[0]), len(excluded), unlimited.clean_score)
            break
        found = yield from minimal_set(unlimited.prompt_id, left, settings)
        n_asked += found.n_sets_scored
        if not found.flipped:
            found = _given_up(found, len(orders[0]), len(excluded), found.ablated_score)
    return replace(
        found,
        candidates_score=unlimited.candidates_score,
        n_candidates=unlimited.n_candidates,
        n_sets_scored=n_asked,
        excluded=excluded,
        largest_given_up=largest,
    )


def _given_up(found: MinimalSet, n: int, n_excluded: int, left_at: float) -> MinimalSet:
    return replace(
        found,
        features=(),
        score_without={},
        found_by_search=(),
        ablated_score=left_at,
        reason=f"Flipped only by sets beyond the side-effect limits: without the {n_excluded} of {n} "
        f"candidates that such sets rest on, ablating the rest leaves the refusal score at "
        f"{left_at:+z.2f}, need < 0 (side_effects.kl_limit, unlimited_sets).",
    )
