"""What a comparison states. `a` is the parent, `b` the variant; differences are b minus a."""

from dataclasses import dataclass
from enum import StrEnum
from html import escape
from typing import Literal

import pandas as pd
from pydantic import TypeAdapter

from sae_audit.findings import Absence, DirectionCheck, Estimate, Feature, RandomRange


class Change(StrEnum):
    LOST = "lost"
    GAINED = "gained"
    """Lost and gained are said of refusing itself; lower and higher of everything measured."""
    LOWER = "lower"
    HIGHER = "higher"
    UNCHANGED = "no change shown"
    """The interval of the difference holds zero, or the permutation test is above 5%: no change is
    shown, and none is ruled out."""
    DESCRIBED = "described"
    """One number per checkpoint: there are no pairs to test."""


@dataclass(frozen=True, kw_only=True)
class Paired:
    """A mean difference over the same prompts."""

    difference: Estimate
    p_value: float
    """Two-sided sign-flip permutation test of mean zero."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    id: str
    sha256: str
    run: str
    """Name of the run's folder."""
    layer: int | None
    """Of the chosen direction, as is the position; each None where the audit stopped before one was
    found."""
    position: int | None
    check: DirectionCheck | None
    """What the direction does on audit prompts; None as well where the record does not say."""
    n_refused_harmful: int
    n_flipped: int
    absence: Absence | None
    """Why no refusal mechanism is claimed of it; None where one is."""


@dataclass(frozen=True, kw_only=True)
class BehaviourChange:
    """Refusals of one label, or one category of it, in both."""

    label: str
    category: str
    """Empty: all categories."""
    refused_a: Estimate
    refused_b: Estimate
    refused: Paired
    """Difference of refusal (0 or 1)."""
    score: Paired
    """Difference of the refusal score, nats."""


@dataclass(frozen=True, kw_only=True)
class DirectionChange:
    """The difference of means in both, at the template position chosen in the parent, or in the
    variant where the parent has no direction."""

    chosen_in: Literal["parent", "variant"]

    cosines: tuple[Estimate, ...]
    """By layer; intervals as of `gap_ratio`."""
    layer: int
    """The layer chosen there."""
    gap_ratio: Estimate
    """Projection of the variant's difference of means on the parent's unit direction, as a share
    of the parent's own (rho, 2607.01854); 1 where nothing changed. Of a checkpoint that stopped
    before a direction the means are over all training prompts of a label, however treated. Interval:
    without one group of training prompts at a time, the same in both."""
    gap_random: RandomRange
    """Control of `gap_ratio`: the projection of the variant's difference of means on random unit
    directions, as a share of the parent's along its own."""
    stability_a: Estimate | None
    """What a cosine of 1 would come to: that of the parent's direction with itself when training
    prompts are resampled; None where it has none."""
    stability_b: Estimate | None

    @property
    def cosine(self) -> Estimate:
        """At the chosen layer."""
        return self.cosines[self.layer]


@dataclass(frozen=True, kw_only=True)
class FeatureShift:
    feature: Feature
    share_a: float
    """Share of prompts flipped in both whose minimal set in `a` holds it."""
    share_b: float
    difference: Paired
    """Of holding it (0 or 1), b minus a; each feature by itself, of which these are the largest."""


@dataclass(frozen=True, kw_only=True)
class FeatureChange:
    """Minimal sets of prompts flipped in both."""

    n: int
    overlap: Estimate
    """Mean Jaccard overlap of a prompt's two sets."""
    overlap_shuffled: Estimate
    """The same with one run's sets permuted to other prompts: what shared features alone give."""
    beyond_shuffled: Paired
    """Overlap of a prompt's own two sets less that with the sets of other prompts."""
    size: Paired
    """Difference of set size, features."""
    pooled_overlap: float | None
    """Jaccard overlap of the pooled sets, one set each: a fact without an interval. None where a run
    has none."""
    shifts: tuple[FeatureShift, ...]
    """Features whose share changed most, largest first."""
    shift_under_null: float
    """Control of `shifts`: the largest change of any feature's share that 95% of random
    permutations stay below, in which each prompt's two sets change places or not."""


@dataclass(frozen=True, kw_only=True)
class DirectionsNeededChange:
    """How many directions, one behind the other, must be projected out, in both."""

    needed: Paired
    """Difference, directions, over prompts counted in both."""
    n_beyond: int
    """Of these, prompts that one of the two refuses with all it has out: they count as one more than
    it has, so their difference is a bound."""


@dataclass(frozen=True, kw_only=True)
class CascadeChange:
    """Cascades of prompts flipped in both."""

    n: int
    depth: Paired
    """Difference of depth, waves."""
    compensation: Paired | None
    """Difference of the compensation ratio; None where fewer than two prompts state it in both."""


@dataclass(frozen=True, kw_only=True)
class QualityChange:
    """Explained variance without BOS, each with its interval over the same audit prompts."""

    layer: int
    explained_variance_a: Estimate
    explained_variance_b: Estimate


@dataclass(frozen=True, kw_only=True)
class Verdict:
    kind: Change
    statement: str
    evidence: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What variant `b` lost or gained against parent `a`, on the same prompts and SAEs."""

    a: Checkpoint
    b: Checkpoint
    verdicts: tuple[Verdict, ...]
    behaviour: tuple[BehaviourChange, ...]
    lost_refusal: tuple[str, ...]
    """Ids of audit prompts that only the parent refuses."""
    gained_refusal: tuple[str, ...]
    scores: tuple[tuple[str, str, float, float], ...]
    """Prompt id, label, the parent's and the variant's refusal score, nats."""
    direction: DirectionChange | None
    """None where neither checkpoint has a direction."""
    directions_needed: DirectionsNeededChange | None
    """Difference in how many directions must be projected out until a prompt is not refused, over
    prompts refused by both; None where it was not counted in both."""
    features: FeatureChange | None
    cascades: CascadeChange | None
    quality: tuple[QualityChange, ...]
    caveats: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        return TypeAdapter(Comparison).dump_python(self, mode="json")

    def table(self) -> pd.DataFrame:
        """The verdicts as a data frame."""
        return pd.DataFrame(
            [
                {"kind": v.kind.value, "statement": v.statement, "evidence": v.evidence}
                for v in self.verdicts
            ]
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(v.kind.value)}</td><td>{escape(v.statement)}</td>"
            f"<td>{escape(v.evidence)}</td></tr>"
            for v in self.verdicts
        )
        return f"<table><caption>{escape(self.a.id)} against {escape(self.b.id)}</caption>{rows}</table>"
