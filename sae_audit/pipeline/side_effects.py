"""What sets of features change on the harmless prompts that limits are measured on."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Float

from sae_audit.findings import SideEffects
from sae_audit.minimal.limited import Limits
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.statistics import mean, share
from sae_audit.vocabulary import Ablation, FeatureId, FeatureSet

_EARLY = 8
"""Prompts on which every candidate of a null dictionary is measured to leave out what is far beyond."""


class HarmlessChanges:
    """Changes on the audit's harmless test prompts, remembered for as long as this object lives.

    One is made for each piece of work, so that its cost does not depend on work before it.
    """

    def __init__(self, state: AuditState, ablation: Ablation | None = None) -> None:
        self._state = state
        self._prompts = state.harmless_tested
        self._ablation = state.ablation if ablation is None else ablation
        self._ask = state.subject.harmless_changes(self._ablation)

    def each(
        self, sets: Sequence[FeatureSet], prompts: slice = slice(None)
    ) -> Float[np.ndarray, "set prompt change"]:
        """By set and prompt of the slice, the KL (nats) and 1 if the first token changes."""
        asked = self._prompts[prompts]
        found = self._ask([(prompt, features) for features in sets for prompt in asked])
        return found.reshape(len(sets), len(asked), 2)

    def means(self, sets: Sequence[FeatureSet]) -> Float[np.ndarray, "set change"]:
        """By set, the mean KL and the share of prompts whose first token changes."""
        return self.each(sets).mean(axis=1)

    @property
    def limits(self) -> Limits:
        """The settings' limits on these changes."""
        return Limits(
            settings=self._state.config.side_effects,
            changes=self.each,
            n_prompts=len(self._prompts),
        )

    def far_beyond_alone(self, features: Sequence[FeatureId]) -> FeatureSet:
        """Those that are beyond the limits when ablated alone, as a few prompts make certain."""
        alone = self.limits.beyond([frozenset([one]) for one in features], most_prompts=_EARLY)
        return frozenset(one for one, is_beyond in zip(features, alone, strict=True) if is_beyond)

    def measured(self, features: FeatureSet) -> SideEffects:
        """The changes with their intervals, and those of the model's own answers."""
        changes = self.each([features])[0]
        rises = [change.cross_entropy for change in self._collateral([features])[0]]
        return SideEffects(
            kl=mean(changes[:, 0]),
            first_tokens_changed=share(round(changes[:, 1].sum()), len(changes)),
            cross_entropy_change=mean(rises),
            within=self.limits.hold(features),
        )

    @cached_property
    def _collateral(self):
        return self._state.subject.collateral(self._prompts, self._ablation)


def changes_price(size: AuditSize, n_sets: float) -> Work:
    """The price of measuring the changes of this many sets, own answers excluded."""
    n = size.config.side_effects.prompts
    return Work(
        forward_passes=n + n_sets * n,
        alone_layer_tokens=size.whole(n),
        swept_layer_tokens=size.swept(n_sets * n),
        swept_heads=n_sets * n,
    )
