"""Statements of a comparison; `a` is the parent, `b` the variant, differences are b minus a."""

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
    """Lost and gained describe refusing itself; lower and higher everything measured."""
    LOWER = "lower"
    HIGHER = "higher"
    UNCHANGED = "no change shown"
    """The interval holds zero or the permutation test is above 5%; a change is not ruled out."""
    DESCRIBED = "described"
    """One number per checkpoint, without pairs to test."""


@dataclass(frozen=True, kw_only=True)
class Paired:
    """A mean difference over the same prompts."""

    difference: Estimate
    p_value: float
    """P-value of a two-sided sign-flip permutation test of mean zero."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    id: str
    sha256: str
    run: str
    """Name of the run's folder."""
    layer: int | None
    """Layer of the chosen direction; None, as `position`, if the audit stopped before finding one."""
    position: int | None
    check: DirectionCheck | None
    """Effects of the direction on audit prompts; None also if the record lacks them."""
    n_refused_harmful: int
    n_flipped: int
    absence: Absence | None
    """What is absent (refusal, its tie to harm, evidence of features); None if nothing is."""


@dataclass(frozen=True, kw_only=True)
class BehaviourChange:
    """Refusals of one label, or one of its categories, in both."""

    label: str
    category: str
    """Empty for all categories."""
    refused_a: Estimate
    refused_b: Estimate
    refused: Paired
    """Difference of refusal (0 or 1)."""
    score: Paired
    """Difference of the refusal score, nats."""


@dataclass(frozen=True, kw_only=True)
class DirectionChange:
    """Difference of means in both, at the position chosen in the parent, or else in the variant."""

    chosen_in: Literal["parent", "variant"]

    cosines: tuple[Estimate, ...]
    """Cosine by layer; intervals as of `gap_ratio`."""
    layer: int
    """The layer chosen with that position."""
    gap_ratio: Estimate
    """Projection of the variant's difference of means on the parent's unit direction, as a share of the
    parent's (rho, 2607.01854); 1 if unchanged. If a checkpoint stopped before a direction, its means are
    over all training prompts of a label. Interval: jackknife over groups of prompts, the same in
    both."""
    gap_random: RandomRange
    """Control of `gap_ratio`: the same projection on random unit directions, as the same share."""
    stability_a: Estimate | None
    """Upper reference for `cosines`: the parent's direction with its resamples; None without one."""
    stability_b: Estimate | None

    @property
    def cosine(self) -> Estimate:
        """Cosine at the chosen layer."""
        return self.cosines[self.layer]


@dataclass(frozen=True, kw_only=True)
class FeatureShift:
    feature: Feature
    share_a: float
    """Share of prompts flipped in both whose minimal set in `a` holds the feature."""
    share_b: float
    difference: Paired
    """Difference in holding it (0 or 1); each feature is tested by itself, the largest are kept."""


@dataclass(frozen=True, kw_only=True)
class FeatureChange:
    """Comparison of minimal sets of prompts flipped in both."""

    n: int
    overlap: Estimate
    """Mean Jaccard overlap of a prompt's two sets."""
    overlap_shuffled: Estimate
    """The same with one run's sets permuted over prompts, the overlap of shared features alone."""
    beyond_shuffled: Paired
    """Overlap of a prompt's own two sets minus that with the sets of other prompts."""
    size: Paired
    """Difference of set size, features."""
    pooled_overlap: float | None
    """Jaccard overlap of the two pooled sets, without interval. None if a run has none."""
    shifts: tuple[FeatureShift, ...]
    """Features whose share changed most, largest first."""
    shift_under_null: float
    """Control of `shifts`: 95% quantile of the largest change if each prompt's sets swap at random."""


@dataclass(frozen=True, kw_only=True)
class DirectionsNeededChange:
    """Number of directions that must be projected out to stop refusal, in both."""

    needed: Paired
    """Difference over prompts counted in both, directions."""
    n_beyond: int
    """Those a run refuses with all its directions projected out; counted as one more, a bound."""


@dataclass(frozen=True, kw_only=True)
class CascadeChange:
    """Comparison of cascades of prompts flipped in both."""

    n: int
    depth: Paired
    """Difference of depth, waves."""
    compensation: Paired | None
    """Difference of the compensation ratio; None if fewer than two prompts state it in both."""


@dataclass(frozen=True, kw_only=True)
class QualityChange:
    """Explained variance without BOS, with intervals over the same audit prompts."""

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
    """Changes of variant `b` relative to parent `a`, on the same prompts and SAEs."""

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
    """None if neither checkpoint has a direction."""
    directions_needed: DirectionsNeededChange | None
    """Change in the directions needed, over prompts refused by both; None if not counted in both."""
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
