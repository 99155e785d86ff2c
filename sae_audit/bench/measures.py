"""Measures of how near an answer is to the truth, each worked out by hand in the tests."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sae_audit.vocabulary import FeatureId, FeatureSet


@dataclass(frozen=True, kw_only=True)
class SetMatch:
    """A found set compared with the nearest true one."""

    exact: bool
    precision: float
    """Share of the found features that are in the true set; 0 if none was found."""
    recall: float
    """Share of the true set that was found."""


def nearest(found: FeatureSet, true_sets: Collection[FeatureSet]) -> SetMatch:
    """The match with the true set of highest Jaccard overlap with `found`."""
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
    """Found waves compared with the true ones of the same minimal set."""

    depth_error: int
    """Found depth minus true depth, waves."""
    f1: float
    """Harmonic mean of precision and recall over (feature, wave) pairs."""
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
