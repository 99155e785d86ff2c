"""Minimal hitting sets of a growing family of sets (Berge 1989, multiplication of edges).

A hitting set shares a feature with every set of the family; a minimal one needs each of its own.
Ablating all candidates except a hitting set ablates no set of the family whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sae_audit.vocabulary import FeatureSet


@dataclass(frozen=True, kw_only=True)
class HittingSets:
    """The minimal hitting sets of a family, the smallest first."""

    family: tuple[FeatureSet, ...]
    minimal: tuple[FeatureSet, ...]
    whole: bool
    """Whether `minimal` is complete, none left out to save memory."""

    def and_of(self, added: FeatureSet, *, at_most: int) -> "HittingSets":
        """The hitting sets of the family with one more, nonempty set.

        Their number can grow exponentially with the family: only the `at_most` smallest are kept.
        """
        assert added, "an empty set cannot be hit"
        assert at_most >= 1, at_most
        family = (*self.family, added)
        hit = [one for one in self.minimal if one & added]
        grown = {one | {feature} for one in self.minimal if not one & added for feature in added}
        found = [*hit, *(one for one in grown if _spares_none(one, family))]
        found.sort(key=lambda one: (len(one), sorted(one)))
        return HittingSets(
            family=family,
            minimal=tuple(found[:at_most]),
            whole=self.whole and len(found) <= at_most,
        )


NO_SETS = HittingSets(family=(), minimal=(frozenset(),), whole=True)
"""Hitting sets of an empty family."""


def _spares_none(hitting: FeatureSet, family: Sequence[FeatureSet]) -> bool:
    """Whether each of its features is the only one that hits some set of the family."""
    alone: set[FeatureSet] = {shared for one in family if len(shared := one & hitting) == 1}
    return len(alone) == len(hitting)
