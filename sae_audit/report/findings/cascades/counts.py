"""Counts over the cascades of many prompts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sae_audit.findings import (
    Cascade,
    Depths,
    DirectionCheck,
    DormantFeature,
    EdgeKind,
    Estimate,
    Necessity,
    PooledCascade,
    PooledCompensation,
    PooledRestoration,
    PooledWaveFeature,
)
from sae_audit.pages.wording import NO_VALUE, interval, percent, share_said
from sae_audit.statistics import median
from sae_audit.vocabulary import FeatureId, TokenClass

TOKEN_NAMES = {
    TokenClass.BOS: "beginning of text",
    TokenClass.SYSTEM: "template and system prompt, before the user's text",
    TokenClass.CONTENT: "user's text",
    TokenClass.TEMPLATE: "template, after the user's text",
}
RAISED_NAMES = {
    "minimal": "minimal set of a flipped prompt",
    "pooled": "pooled set",
    "cascade": "all waves of a flipped prompt",
}
"""Wording of the sets that are activated on harmless prompts."""
EDGES = {
    EdgeKind.DIRECT: "on its own",
    EdgeKind.MEDIATED: "through another feature",
    EdgeKind.JOINT: "only together with others",
}
"""How one feature, switched off, wakes another."""
_CAUSES = 6
FEWEST = 5
"""Minimum number of prompts for a median, which has no interval below."""


@dataclass(frozen=True, kw_only=True)
class DormantOverPrompts:
    """A dormant feature that joins waves, over all prompts."""

    feature: FeatureId
    n_prompts: int
    effect: Estimate | None
    """Median over these prompts of the score drop (nats) on ablating it too; None if too few."""
    direct_attribution: Estimate | None
    """Median, over the same prompts."""
    activated_by: tuple[tuple[FeatureId, int], ...]
    """Features that alone, if kept, make it inactive again, and the number of prompts."""
    n_covered: int
    """Prompts on which keeping no single feature does, because several compensate for each other."""

    @property
    def causes(self) -> str:
        """The first of `activated_by`, in words."""
        named = ", ".join(f"{cause} ({n})" for cause, n in self.activated_by[:_CAUSES])
        return (named or NO_VALUE) + (" …" if len(self.activated_by) > _CAUSES else "")


@dataclass(frozen=True, kw_only=True)
class WaveRow:
    """One round of the cascades, over all prompts that reach it."""

    number: int
    n_prompts: int
    n_features: int
    """Number of features ablated, summed over prompts."""
    score_after: Estimate | None
    """Median; None if too few prompts."""


@dataclass(frozen=True, kw_only=True)
class FirstWaveRow:
    """Cascades behind one kind of first wave, over all prompts."""

    name: str
    is_own: bool
    depths: Depths
    compensation: PooledCompensation | None


def depths(cascades: Sequence[Cascade]) -> dict[int, int]:
    counts = Counter(found.depth for found in cascades)
    return {depth: counts[depth] for depth in range(1, max(counts) + 1)} if counts else {}


def layers_by_wave(cascades: Sequence[Cascade]) -> dict[int, Counter[int]]:
    counts: dict[int, Counter[int]] = {}
    for found in cascades:
        for number, wave in enumerate(found.waves, start=1):
            counts.setdefault(number, Counter()).update(f.layer for f in wave.features)
    return counts


def first_wave_rows(pooled: PooledCascade) -> list[FirstWaveRow]:
    """Rows of the minimal sets' first waves and, if there are any, of the random sets."""
    own = FirstWaveRow(
        name="of the minimal set",
        is_own=True,
        depths=pooled.depths,
        compensation=pooled.compensation,
    )
    random = pooled.null
    if random is None:
        return [own]
    return [
        own,
        FirstWaveRow(
            name="random, matched",
            is_own=False,
            depths=random.depths,
            compensation=random.compensation,
        ),
    ]


def undone(cascades: Sequence[Cascade]) -> dict[str, float]:
    """By prompt, nats of the first wave's direct effect undone by activated features."""
    return {
        found.prompt_id: found.effects.direct - found.effects.total
        for found in cascades
        if found.effects is not None
    }


def wave_rows(cascades: Sequence[Cascade]) -> list[WaveRow]:
    rows: list[WaveRow] = []
    for i in range(max((found.depth for found in cascades), default=0)):
        waves = [found.waves[i] for found in cascades if found.depth > i]
        rows.append(
            WaveRow(
                number=i + 1,
                n_prompts=len(waves),
                n_features=sum(len(wave.features) for wave in waves),
                score_after=_median([wave.score_after for wave in waves]),
            )
        )
    return rows


def _median(values: Sequence[float]) -> Estimate | None:
    return median(values) if len(values) >= FEWEST else None


def dormant_features(cascades: Sequence[Cascade], limit: int) -> list[DormantOverPrompts]:
    """The dormant features that join waves on most prompts, most frequent first."""
    by_feature: dict[FeatureId, list[DormantFeature]] = {}
    for found in cascades:
        for wave in found.waves:
            for one in wave.dormant:
                by_feature.setdefault(one.feature, []).append(one)
    order = sorted(by_feature, key=lambda feature: (-len(by_feature[feature]), feature))
    return [_activation_tokens(feature, by_feature[feature]) for feature in order[:limit]]


def _activation_tokens(feature: FeatureId, found: Sequence[DormantFeature]) -> DormantOverPrompts:
    causes = Counter(cause for one in found for cause in one.activated_by)
    return DormantOverPrompts(
        feature=feature,
        n_prompts=len(found),
        effect=_median([one.effect for one in found]),
        direct_attribution=_median([one.direct_attribution for one in found]),
        activated_by=tuple(sorted(causes.items(), key=lambda item: (-item[1], item[0]))),
        n_covered=sum(not one.activated_by for one in found),
    )


def most_frequent(features: Sequence[PooledWaveFeature], n_each: int) -> list[PooledWaveFeature]:
    """The first `n_each` features of each wave; input is by wave, the most frequent first."""
    seen: Counter[int] = Counter()
    kept: list[PooledWaveFeature] = []
    for one in features:
        seen[one.wave] += 1
        if seen[one.wave] <= n_each:
            kept.append(one)
    return kept


def edges_sentence(pooled: PooledCascade, n_tested: int, n_edges: int) -> str:
    """Number of tested pairs, of edges of each kind, and of those by chance, in words."""
    kinds = [f"{one.n} {EDGES[one.kind]}" for one in pooled.edge_kinds]
    controls = "; ".join(
        f"{interval(one.control, percent)} of tries where it does {EDGES[one.kind]} (mean over "
        f"{one.control.n} prompts)"
        for one in pooled.edge_kinds
        if one.control
    )
    return (
        f"{n_tested} pairs of a feature and one of a later wave were tested, over all prompts. The "
        f"first wakes the second: {', '.join(kinds[:-1])} and {kinds[-1]}; {n_tested - n_edges} do not. "
        "Features outside the cascade, switched off in its place, wake the same one in "
        f"{controls or 'no known share of tries: no feature could stand in'}."
    )


def needed(found: Necessity) -> str:
    """Whether refusals come back if the dormant features are left on, in words."""
    pooled = (
        f", and of {found.n_pooled} prompts with such features behind the pooled set on "
        f"{found.n_pooled_needed}"
        if found.n_pooled
        else ""
    )
    return f"With these left on, the refusal came back on {share_said(found.needed, 'prompts')}{pooled}."


def one_by_one(found: PooledRestoration) -> str:
    """Dormant features and their stand-ins tested one by one, in words; empty if none was."""
    own, others = found.single, found.single_stand_ins
    if own is None or others is None:
        return ""
    beyond = (
        f" (difference {interval(found.single_difference, percent)})"
        if found.single_difference
        else ""
    )
    there = found.same_score.single if found.same_score is not None else None
    same = f", {interval(there.share, percent)} of those at the same score" if there else ""
    return (
        f"Ablated one by one, {interval(own.share, percent)} of dormant features lower the score by "
        f"{found.least:g} nats, {interval(others.share, percent)} of those active all along"
        f"{beyond}{same}."
    )


def direction_added(check: DirectionCheck) -> str:
    """Reference for the activated sets, in words: harmless prompts with the direction added."""
    own, random = check.induced.own, check.induced.random
    return (
        "For comparison, what these prompts answer to at all: the refusal direction, added at its "
        f"layer to all positions, makes {interval(own, percent)} of {own.n} answered harmless audit "
        f"prompts refused and takes their mean score from {interval(check.clean_harmless)} to "
        f"{interval(check.induce.own)} nats; {random.n} random directions, {percent(random.mean)} (at "
        f"most {percent(random.highest)})."
    )
