"""How many minimal sets hold each feature, before and after, over the prompts flipped in both."""

from collections import Counter

from sae_audit.comparison.decided import FeatureRole
from sae_audit.findings import Feature
from sae_audit.record.run import Run

_MOST = 50


def roles_of(a: Run, b: Run) -> tuple[FeatureRole, ...]:
    """The features whose number of sets changed most, and those in most sets, largest change first;
    none if no prompt is flipped in both."""
    sets = [{m.prompt_id: tuple(m.features) for m in r.minimal_sets if m.flipped} for r in (a, b)]
    both = sorted(sets[0].keys() & sets[1].keys())
    held = [Counter(f for one in both for f in own[one]) for own in sets]
    alone = [Counter(own[one][0] for one in both if len(own[one]) == 1) for own in sets]

    def order(feature: Feature) -> tuple[int, int, Feature]:
        before, after = held[0][feature], held[1][feature]
        return -abs(after - before), -max(before, after), feature

    return tuple(
        FeatureRole(
            feature=feature,
            n=len(both),
            before=held[0][feature],
            after=held[1][feature],
            alone_before=alone[0][feature],
            alone_after=alone[1][feature],
        )
        for feature in sorted(held[0].keys() | held[1].keys(), key=order)[:_MOST]
    )
