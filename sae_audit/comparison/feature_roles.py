"""The role of single features before and after: in a parent's run and in its variant's."""

from collections import Counter
from collections.abc import Mapping

from sae_audit.comparison.decided import FeatureRole, InItsPlace
from sae_audit.findings import FeatureProfile
from sae_audit.record.run import Run
from sae_audit.vocabulary import FeatureId, FeatureSet

_MOST = 50

_SetsOfBoth = Mapping[str, tuple[FeatureSet, FeatureSet]]
"""By prompt flipped in both, its minimal sets in parent and variant."""


def feature_roles(a: Run, b: Run) -> tuple[FeatureRole, ...]:
    """The features whose number of sets changed most, and those in most sets, largest change first, at
    most 50; none if no prompt is flipped in both."""
    sets = _sets_of_both(a, b)
    held = {f for before, after in sets.values() for f in before | after}
    found = [_role(a, b, sets, feature) for feature in held]
    return tuple(sorted(found, key=_order)[:_MOST])


def feature_role(a: Run, b: Run, feature: FeatureId) -> FeatureRole:
    """The role of one feature in parent `a` and variant `b`, which are of the same SAEs."""
    return _role(a, b, _sets_of_both(a, b), feature)


def _order(role: FeatureRole) -> tuple[int, int, FeatureId]:
    return -abs(role.after - role.before), -max(role.before, role.after), role.feature


def _role(a: Run, b: Run, sets: _SetsOfBoth, feature: FeatureId) -> FeatureRole:
    lost = [pair for pair in sets.values() if feature in pair[0] and feature not in pair[1]]
    new = Counter(other for before, after in lost for other in after - before)
    before, after = (_profile(run, feature) for run in (a, b))
    only = frozenset([feature])
    return FeatureRole(
        feature=feature,
        n=len(sets),
        before=sum(feature in pair[0] for pair in sets.values()),
        after=sum(feature in pair[1] for pair in sets.values()),
        alone_before=sum(pair[0] == only for pair in sets.values()),
        alone_after=sum(pair[1] == only for pair in sets.values()),
        ends_before=None if before is None else before.alone.turned,
        ends_after=None if after is None else after.alone.turned,
        fires_before=None if before is None else before.fires_harmful,
        fires_after=None if after is None else after.fires_harmful,
        in_its_place=tuple(
            InItsPlace(feature=other, n=n)
            for other, n in sorted(new.items(), key=lambda item: (-item[1], item[0]))
        ),
    )


def _sets_of_both(a: Run, b: Run) -> _SetsOfBoth:
    own, other = (
        {one.prompt_id: frozenset(one.features) for one in run.minimal_sets if one.flipped}
        for run in (a, b)
    )
    return {prompt: (own[prompt], other[prompt]) for prompt in own if prompt in other}


def _profile(run: Run, feature: FeatureId) -> FeatureProfile | None:
    found = run.feature_profiles
    profiles = () if found is None else found.features
    return next((one for one in profiles if one.feature == feature), None)
