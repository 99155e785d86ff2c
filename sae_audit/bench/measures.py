"""How near an answer is to the truth, each measure worked out by hand in the tests."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sae_audit.vocabulary import FeatureId, FeatureSet


@dataclass(frozen=True, kw_only=True)
class SetMatch:
    """A found set against the nearest of the true ones."""

    exact: bool
    precision: float
    """Share of what was found that is in the true set; 0 where nothing was found."""
    recall: float
    """Share of the true set that was found."""


def nearest(found: FeatureSet, true_sets: Collection[FeatureSet]) -> SetMatch:
    """The match with the true set that shares most with `found`, by Jaccard's coefficient."""
    assert true_sets, "no true set to compare with"
    true = max(true_sets, key=lambda one: (len(one & found) / len(one | found), sorted(one)))
    shared = len(true & found)
    return SetMatch(
        exact=found in true_sets,
        precision=shared / len(found) if found else 0.0,
        recall=shared / len(true),
    )


@dataclass(frozen=True, kw_only=True)
class WaveMatch:
    """Found waves against the true ones of the same minimal set."""

    depth_error: int
    """Found depth less the true one."""
    f1: float
    """Of (feature, wave) pairs: the harmonic mean of precision and recall."""
    exact: bool


def waves_match(
    found: Sequence[Collection[FeatureId]], true: Sequence[Collection[FeatureId]]
) -> WaveMatch:
    has = {(feature, i) for i, wave in enumerate(found) for feature in wave}
    should = {(feature, i) for i, wave in enumerate(true) for feature in wave}
    assert should, "no true wave"
    return WaveMatch(
        depth_error=len(found) - len(true),
        f1=2 * len(has & should) / (len(has) + len(should)),
        exact=has == should,
    )
