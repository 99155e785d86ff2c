"""The role of single features before and after: in a parent's run and in its variant's."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sae_audit.findings import Estimate, Feature, FeatureProfile
from sae_audit.pages.wording import of
from sae_audit.record.run import Run
from sae_audit.vocabulary import FeatureId, FeatureSet


@dataclass(frozen=True, kw_only=True)
class FeatureRole:
    """One feature in two runs, over the prompts flipped in both."""

    feature: Feature
    n: int
    """Number of prompts flipped in both."""
    n_before: int
    """Number of these whose minimal set holds it in the parent."""
    n_after: int
    """The same in the variant."""
    alone_before: Estimate | None
    """Share of the parent's refused prompts that ablating it alone flips; None if not measured."""
    alone_after: Estimate | None
    """The same of the variant's."""
    fires_before: Estimate | None
    """Share of harmful audit prompts on which it fires in the parent; None if not measured."""
    fires_after: Estimate | None
    """The same in the variant."""
    in_its_place: tuple[tuple[Feature, int], ...]
    """Features that are new in the sets of the prompts that lost it, with the number of these prompts;
    most first."""

    @property
    def sentence(self) -> str:
        """What became of it: `L2/554 was in the sets of 24 of 24 prompts, and is in none.`"""
        before, after = of(self.n_before, self.n), of(self.n_after, self.n)
        if self.n_before == self.n_after:
            return f"{self.feature} is in the sets of {before} prompts, as before."
        if not self.n_after:
            said = f"{self.feature} was in the sets of {before} prompts, and is in none now"
        elif not self.n_before:
            said = f"{self.feature} was in no set, and is in those of {after} prompts now"
        else:
            said = f"{self.feature} was in the sets of {before} prompts, and is in those of {after}"
        if not self.in_its_place:
            return f"{said}."
        other, n = self.in_its_place[0]
        return f"{said}; most often {other} is new in its place ({n} prompt{'s' * (n > 1)})."


def feature_roles(a: Run, b: Run) -> list[FeatureRole]:
    """Every feature of a minimal set, of prompts flipped in both, in parent `a` or variant `b`: those
    whose number of prompts changed most first."""
    sets = _sets_of_both(a, b)
    held = sorted({f for before, after in sets.values() for f in before | after})
    found = [feature_role(a, b, feature) for feature in held]
    return sorted(found, key=lambda one: (-abs(one.n_after - one.n_before), one.feature))


def feature_role(a: Run, b: Run, feature: FeatureId) -> FeatureRole:
    """The role of one feature in parent `a` and variant `b`, which are of the same SAEs."""
    sets = _sets_of_both(a, b)
    lost = [pair for pair in sets.values() if feature in pair[0] and feature not in pair[1]]
    new = Counter(other for before, after in lost for other in after - before)
    before, after = (_profile(run, feature) for run in (a, b))
    return FeatureRole(
        feature=feature,
        n=len(sets),
        n_before=sum(feature in pair[0] for pair in sets.values()),
        n_after=sum(feature in pair[1] for pair in sets.values()),
        alone_before=None if before is None else before.alone.turned,
        alone_after=None if after is None else after.alone.turned,
        fires_before=None if before is None else before.fires_harmful,
        fires_after=None if after is None else after.fires_harmful,
        in_its_place=tuple(sorted(new.items(), key=lambda item: (-item[1], item[0]))),
    )


def _sets_of_both(a: Run, b: Run) -> Mapping[str, tuple[FeatureSet, FeatureSet]]:
    """By prompt flipped in both, its two minimal sets."""
    own, other = (
        {one.prompt_id: frozenset(one.features) for one in run.minimal_sets if one.flipped}
        for run in (a, b)
    )
    return {prompt: (own[prompt], other[prompt]) for prompt in own if prompt in other}


def _profile(run: Run, feature: FeatureId) -> FeatureProfile | None:
    found = run.feature_profiles
    profiles = () if found is None else found.features
    return next((one for one in profiles if one.feature == feature), None)
