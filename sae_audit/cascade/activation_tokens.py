"""The classes of tokens at which features activate, and the number active by chance (2509.09708).

After each wave: the dormant features of all SAEs that fire, and, as control, those that fire once
random sets are ablated instead.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from sae_audit.findings import (
    ActivatedFeatures,
    ActivationTokens,
    Cascade,
    DormantPositions,
    TokenCounts,
)
from sae_audit.sampling import random_stand_ins
from sae_audit.vocabulary import (
    FeatureId,
    FeatureSet,
    Fired,
    Firing,
    Intervention,
    TokenClass,
)

_INDICES = 1 << 32
"""Upper bound of an SAE's number of features."""


def activated(
    found: Cascade,
    firing: Firing,
    classes: Mapping[int, TokenClass],
    *,
    n_random: int,
    seed: int,
) -> ActivationTokens:
    """Token classes at which a prompt's features fire; `classes` has one entry per ablated position."""
    ablated = _ablated_by_wave(found)
    (clean,) = firing([Intervention()])
    after = firing([Intervention(ablated=one) for one in ablated])
    was_firing = frozenset(features_of(clean))
    random = _after_random(found.prompt_id, ablated, clean, firing, n_random, seed)
    fired_tokens = [_FiredTokens(fired, classes) for fired in after]
    active: list[ActivatedFeatures] = []
    for i, (here, one) in enumerate(zip(fired_tokens, ablated, strict=True)):
        dormant = here.belonging_to(here.features - was_firing - one)
        active.append(
            ActivatedFeatures(
                n_waves=i + 1,
                n_features=len(here.features - was_firing - one),
                fires_at=here.counts(dormant),
                peaks_at=here.peak_counts(dormant),
                n_random=tuple(_n_features(fired) for fired in random[i]),
                random_peaks_at=_summed(
                    [_FiredTokens(fired, classes).all_peak_counts() for fired in random[i]]
                ),
            )
        )
    before = _FiredTokens(clean, classes)
    return ActivationTokens(
        prompt_id=found.prompt_id,
        tokens=_counted(list(classes.values())),
        clean_fires_at=before.counts(np.ones(len(clean.layer), bool)),
        clean_peaks_at=before.all_peak_counts(),
        active=tuple(active),
        activated=tuple(
            fired_tokens[i - 1].activated(one.feature, i + 1)
            for i, wave in enumerate(found.waves)
            for one in wave.dormant
        ),
    )


def features_of(fired: Fired) -> list[FeatureId]:
    pairs = np.unique(np.stack([fired.layer, fired.index], axis=1), axis=0)
    return [FeatureId(layer, index) for layer, index in pairs.tolist()]


def _ablated_by_wave(found: Cascade) -> list[FeatureSet]:
    """The features ablated after one wave, after two, and so on."""
    waves = [frozenset(wave.features) for wave in found.waves]
    return [frozenset[FeatureId]().union(*waves[: i + 1]) for i in range(len(waves))]


def _after_random(
    prompt_id: str,
    ablated: Sequence[FeatureSet],
    clean: Fired,
    firing: Firing,
    n: int,
    seed: int,
) -> list[list[Fired]]:
    """The dormant features that fire after ablating `n` random sets matched to each of `ablated`."""
    # Draws differ between prompts, and repeat for the same prompt.
    own = np.random.default_rng([seed, *prompt_id.encode()]).integers(1 << 31, size=len(ablated))
    peaks = _peaks(clean)
    drawn = [
        random_stand_ins(one, peaks, excluded=ablated[-1], n_sets=n, seed=int(s))
        for one, s in zip(ablated, own, strict=True)
    ]
    fired = firing([Intervention(ablated=one) for sets in drawn for one in sets])
    dormant = [_without(now, _codes(clean)) for now in fired]
    return [dormant[i * n : (i + 1) * n] for i in range(len(ablated))]


def _without(fired: Fired, codes: Int[np.ndarray, " other"]) -> Fired:
    kept = ~np.isin(_codes(fired), codes)
    return Fired(
        layer=fired.layer[kept],
        index=fired.index[kept],
        position=fired.position[kept],
        activation=fired.activation[kept],
    )


def _n_features(fired: Fired) -> int:
    return len(np.unique(_codes(fired)))


def _peaks(fired: Fired) -> dict[FeatureId, float]:
    """Each firing feature's largest activation."""
    rising = np.argsort(fired.activation, kind="stable")
    rows = zip(
        fired.layer[rising].tolist(),
        fired.index[rising].tolist(),
        fired.activation[rising].tolist(),
        strict=True,
    )
    return {FeatureId(layer, index): value for layer, index, value in rows}


def _counted(classes: Sequence[TokenClass]) -> TokenCounts:
    counts = Counter(classes)
    return {token: counts[token] for token in TokenClass}


def _summed(counts: Sequence[TokenCounts]) -> TokenCounts:
    return {token: sum(one[token] for one in counts) for token in TokenClass}


@dataclass(frozen=True, eq=False)
class _FiredTokens:
    """A table of firing features, with the class of each token."""

    fired: Fired
    classes: Mapping[int, TokenClass]

    @property
    def features(self) -> FeatureSet:
        return frozenset(features_of(self.fired))

    def belonging_to(self, features: FeatureSet) -> Bool[np.ndarray, " entry"]:
        return np.isin(_codes(self.fired), [f.layer * _INDICES + f.index for f in features])

    def counts(self, chosen: Bool[np.ndarray, " entry"]) -> TokenCounts:
        return _counted([self.classes[at] for at in self.fired.position[chosen].tolist()])

    def peak_counts(self, chosen: Bool[np.ndarray, " entry"]) -> TokenCounts:
        """Number of features by the class of the token of their (first) largest activation."""
        strongest = np.lexsort((self.fired.position, -self.fired.activation))
        strongest = strongest[chosen[strongest]]
        _, first = np.unique(_codes(self.fired)[strongest], return_index=True)
        at = self.fired.position[strongest[first]].tolist()
        return _counted([self.classes[position] for position in at])

    def all_peak_counts(self) -> TokenCounts:
        return self.peak_counts(np.ones(len(self.fired.layer), bool))

    def activated(self, feature: FeatureId, wave: int) -> DormantPositions:
        own = self.belonging_to(frozenset([feature]))
        assert own.any(), f"{feature} joined wave {wave} and does not fire"
        peaks = self.peak_counts(own)
        return DormantPositions(
            feature=feature,
            wave=wave,
            positions=tuple(sorted(self.fired.position[own].tolist())),
            fires_at=self.counts(own),
            peak_at=next(token for token, n in peaks.items() if n),
        )


def _codes(fired: Fired) -> Int[np.ndarray, " entry"]:
    """One number per entry, the same for the same feature."""
    return fired.layer * _INDICES + fired.index
