"""Minimal sets within limits of what their ablation changes on harmless prompts.

A feature that carries much of the stream flips refusal by breaking the model, and a search by score
alone finds it first. So a set beyond the limits is given up: the feature that costs most leaves the
pool, and the search begins again, until a set within the limits is found or the rest flips nothing.
From the fifth set on twice as many leave as before, up to half of the set, or large sets would take a
search for each feature of the pool.
That such a set is found is proved by its scores; that none exists is not proved if none is found.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from sae_audit.config import MinimalSettings, SideEffectSettings
from sae_audit.findings import MinimalSet
from sae_audit.minimal.asking import Asking
from sae_audit.minimal.search import minimal_set
from sae_audit.vocabulary import FeatureId, FeatureSet

Changes = Callable[[Sequence[FeatureSet]], Float[np.ndarray, "set change"]]
"""By set, the mean KL (nats) and the share of changed first tokens on harmless prompts."""

_ONE_AT_A_TIME = 4
"""Sets beyond the limits that give up a single feature if none is beyond them alone."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much of each change a set may cause, and what sets change."""

    settings: SideEffectSettings
    changes: Changes

    def hold(self, features: FeatureSet) -> bool:
        """Whether a set is within both limits."""
        return bool(self.excess([features])[0] <= 1.0)

    def excess(self, sets: Sequence[FeatureSet]) -> Float[np.ndarray, " set"]:
        """The larger of the two changes of each set, in units of its limit: above 1 it is beyond."""
        return self.excess_of(self.changes(sets))

    def excess_of(self, changes: Float[np.ndarray, "set change"]) -> Float[np.ndarray, " set"]:
        """The same of changes that are known."""
        kl = changes[:, 0] / self.settings.kl_limit
        limit = self.settings.first_tokens_limit
        others = changes[:, 1] / limit if limit else np.where(changes[:, 1] > 0.0, np.inf, 0.0)
        return np.maximum(kl, others)

    def costliest(self, features: FeatureSet, n: int = 1) -> tuple[FeatureId, ...]:
        """The features that a set beyond the limits must give up: all that are beyond them alone; if
        there is none, the `n` without which the rest is least beyond, each taken alone."""
        ordered = sorted(features)
        alone = self.excess([frozenset([feature]) for feature in ordered])
        beyond = tuple(f for f, one in zip(ordered, alone, strict=True) if one > 1.0)
        if beyond:
            return beyond
        without = self.excess([features - {feature} for feature in ordered])
        return tuple(ordered[i] for i in np.argsort(without, kind="stable")[:n].tolist())


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
        n_at_once = 2 ** max(0, n_given_up - _ONE_AT_A_TIME + 1)
        half = (len(found.features) + 1) // 2
        given_up = limits.costliest(frozenset(found.features), min(n_at_once, half))
        n_given_up += 1
        if not excluded:
            given_up = (*given_up, *sorted(beyond.intersection(orders[0]).difference(given_up)))
        excluded += given_up
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
