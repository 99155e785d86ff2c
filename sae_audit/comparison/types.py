"""Statements of a comparison; `a` is the parent, `b` the variant, differences are b minus a."""

from dataclasses import dataclass
from enum import StrEnum
from html import escape
from typing import Literal

import pandas as pd
from pydantic import TypeAdapter

from sae_audit.comparison.decided import Decision
from sae_audit.findings import Absence, DirectionCheck, Estimate, Feature, RandomRange

LEVEL = 0.05
"""Largest corrected p-value that names a change."""


class Change(StrEnum):
    LOST = "lost"
    GAINED = "gained"
    """Lost and gained describe refusing itself; lower and higher everything measured."""
    LOWER = "lower"
    HIGHER = "higher"
    UNCHANGED = "no change shown"
    """The corrected p-value is above 5%; a change is not ruled out (`Tested.could_show`)."""
    TOO_FEW = "too few to test"
    """Too few prompts for any result to be significant; left out of the correction."""
    DESCRIBED = "described"
    """One number per checkpoint, without pairs to test."""


@dataclass(frozen=True, kw_only=True)
class Detectable:
    """Smallest change that a test detects with 80% probability."""

    value: float | None
    """In `unit`; None if it would detect none."""
    unit: str
    level: float
    """Largest p-value, before correction, that counts: 5% by the number of tests."""
    power: float
    method: str
    """How it was computed, and of what change."""


@dataclass(frozen=True, kw_only=True)
class Tested:
    """One of a comparison's tests, after the correction for all of them."""

    name: str
    n: int
    """Number of pairs."""
    p_value: float
    """Before the correction."""
    smallest_p: float
    """Smallest p-value that this many pairs can give, before the correction."""
    level: float | None
    """Level of its step in Holm's procedure; None, as the rest, if its pairs are too few for any result
    to be significant and it was not counted among the tests."""
    corrected_p: float | None
    could_show: Detectable | None

    @property
    def is_significant(self) -> bool:
        return self.corrected_p is not None and self.corrected_p <= LEVEL


@dataclass(frozen=True, kw_only=True)
class Paired:
    """A mean difference over the same prompts."""

    difference: Estimate
    spread: float
    """Standard deviation of the differences; 0 of a single one."""
    p_value: float
    """P-value of a two-sided sign-flip permutation test of mean zero, without correction for others."""


@dataclass(frozen=True, kw_only=True)
class AtMatchedMargin:
    """Difference of a count between checkpoints that is not owed to their clean scores.

    A prompt that is refused by less takes fewer features to flip, in one model too. Two comparisons
    hold the score fixed, each wrong where the other is right: pairs of prompts with the same score err
    if a count goes with the prompt and not with its score; a line through each prompt's own differences
    errs if counts are not linear in scores. A change is named only if both show it, the same way.
    """

    matched: Estimate | None
    """Mean difference over pairs of prompts, one of each checkpoint, whose clean scores there are
    within `caliper` of each other; None if there are fewer than two pairs."""
    caliper: float
    """A fifth of the scores' standard deviation (Austin 2011), nats."""
    score_gap: float | None
    """Mean difference of the clean score over those pairs, nats; near 0."""
    adjusted: Estimate | None
    """Difference of a prompt's counts where its score did not change: intercept of the regression of
    the one on the other. None if scores changed by the same on all prompts."""
    n_pairs: int
    p_value: float
    """Larger of the two sign-flip tests' p-values, so that either one's assumptions are enough; 1 if
    they point different ways or one cannot be made."""
    smallest_p: float
    """Smallest p-value that these scores allow; 1 if one of the two comparisons cannot be made."""
    spreads: tuple[float, float]
    """Standard errors of both by the square root of their number of cases."""

    @property
    def value(self) -> float:
        """The smaller of both differences; 0 unless both point the same way."""
        if self.matched is None or self.adjusted is None:
            return 0.0
        one, other = self.matched.value, self.adjusted.value
        return min(one, other, key=abs) if one * other > 0.0 else 0.0


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
    difference: Estimate
    """Difference in holding it (0 or 1), whatever the scores."""
    change_at_margin: float
    """The same at matched margin (`AtMatchedMargin.value`)."""
    p_value: float
    """Of the change at matched margin, corrected for all features of any set (largest mean under
    flipped signs, Westfall and Young 1993), not for the comparison's other tests."""


@dataclass(frozen=True, kw_only=True)
class FeatureChange:
    """Comparison of minimal sets of prompts flipped in both."""

    n: int
    overlap: Estimate
    """Mean Jaccard overlap of a prompt's two sets."""
    overlap_shuffled: Estimate
    """The same with one run's sets permuted over prompts, the overlap of shared features alone."""
    beyond_shuffled: Estimate
    """Overlap of a prompt's own two sets minus that with the sets of other prompts. Interval: jackknife
    over prompts, each left out with its row and its column, since all rows share the sets."""
    beyond_shuffled_p: float
    """One-sided p-value of the null that the variant's sets could as well belong to other prompts: sets
    permuted over prompts as a whole. It speaks of likeness and is not among the tests for change."""
    size: Paired
    """Difference of set size, features: description alone, since smaller margins make smaller sets."""
    size_at_margin: AtMatchedMargin
    pooled_overlap: float | None
    """Jaccard overlap of the two pooled sets, without interval. None if a run has none."""
    shifts: tuple[FeatureShift, ...]
    """Features whose share changed most, largest first, and all that are named."""
    p_by_losses: tuple[float, ...]
    """Power of the test of features: the p-value of a feature lost on k of the prompts and not gained on
    any, for k from 1, on average over which prompts lose it."""
    shift_under_null: float
    """Control of `shifts`: 95% quantile of the largest change if each prompt's sets swap at random."""


@dataclass(frozen=True, kw_only=True)
class DirectionsNeededChange:
    """Number of directions that must be projected out to stop refusal, in both."""

    needed: Paired
    """Difference over prompts counted in both, directions: description alone, as of set sizes."""
    at_margin: AtMatchedMargin
    n_beyond: int
    """Those a run refuses with all its directions projected out; counted as one more, a bound."""


@dataclass(frozen=True, kw_only=True)
class CascadeChange:
    """Comparison of cascades of prompts flipped in both."""

    n: int
    depth: Paired
    """Difference of depth, waves: description alone, as of set sizes."""
    depth_at_margin: AtMatchedMargin
    compensation: Estimate | None
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
    tests: tuple[str, ...]
    """Names of the tests behind it, in `Comparison.tests`; none if it describes."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Changes of variant `b` relative to parent `a`, on the same prompts and SAEs."""

    a: Checkpoint
    b: Checkpoint
    decision: Decision
    """The limits, what became of each, and the verdict."""
    verdicts: tuple[Verdict, ...]
    tests: tuple[Tested, ...]
    """Every test for a change. Those with a `corrected_p` are corrected together (Holm)."""
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

    @property
    def n_tests(self) -> int:
        """Number of tests that Holm's correction is over."""
        return sum(test.corrected_p is not None for test in self.tests)

    def as_dict(self) -> dict[str, object]:
        """As in `comparison.json`: every field, and the decision's exit code beside its outcome."""
        found = TypeAdapter(Comparison).dump_python(self, mode="json")
        found["decision"]["exit_code"] = self.decision.exit_code
        return found

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
