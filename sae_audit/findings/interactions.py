"""Interactions of features: joint effects of ablation beyond the sum of single ones."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import computed_field

from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding
from sae_audit.findings.features import Feature

NO_GAIN = 1e-4
"""Gain in R2 that is rounding and the shrinkage of the linear model: an interval must lie above it."""


class PairKind(StrEnum):
    """How two features act together under ablation, by the sign of their weight (METHODS 5)."""

    REDUNDANT = "redundant"
    """Negative: together they lower the score by more than their sum; each compensates for the other."""
    SHARED_PATH = "shared_path"
    """Positive: together they lower it by less than their sum; they work through one path."""
    UNCLEAR = "unclear"
    """The graph's pairs do not predict, the interval contains 0, the weight is within a null, or the
    lasso or what the curve leaves has another sign."""


@dataclass(frozen=True, kw_only=True)
class PairInteraction(Finding):
    """The interaction of two features on the refusal score, in nats."""

    a: Feature
    b: Feature
    weight: float
    """Second difference `y(ab) - y(a) - y(b) + y()`, 0/1 ablation masks, averaged over the states of
    the other features (Banzhaf interaction), nats; by the solver."""
    low: float
    high: float
    """95% interval of `weight` over masks, prompts fixed; `weight` itself if all were scored."""
    kind: PairKind
    lasso: float | None
    """Check on the solver: `weight` by a lasso on all pair products; None if all masks were scored."""
    beyond_curve: float
    """Weight of the pair in what one monotone curve over single effects leaves of the scores, nats;
    `redundant` and `shared_path` say that this exceeds its null."""
    curve_low: float
    curve_high: float
    """Range of `weight`, nats, under the null that the curve alone acts, all pairs together: `weight`
    minus `beyond_curve`, plus and minus the graph's `null_beyond_curve`."""


@dataclass(frozen=True, kw_only=True)
class TripleInteraction(Finding):
    """Joint effect of three features that no pair of them explains."""

    a: Feature
    b: Feature
    c: Feature
    weight: float
    """Third difference of the refusal score (nats), 0/1 ablation masks, averaged over the states of the
    other features."""
    low: float
    high: float
    """95% interval of `weight` over masks, prompts fixed."""


@dataclass(frozen=True, kw_only=True)
class ClassifierFit(Finding):
    """How well a classifier predicts whether a mask is refused: a check on the score's fit."""

    classifier: str
    """`logistic_main` on single features, the baseline of the others; `logistic_l1` on all pair
    products as well; `fm_probit`, a factorization machine."""
    auroc_held_out: Estimate
    """AUROC of refused against complied, on the held-out masks; chance is 0.5."""
    n_refused: int
    n_complied: int
    """Numbers of held-out masks of either kind."""
    sign_agreement: Estimate | None
    """Share of the named pairs whose weight has the same sign here, chance 0.5; None if no pair is
    named, or the classifier has no pair weights."""


@dataclass(frozen=True, kw_only=True)
class SolverFit(Finding):
    """How well one solver predicts the scores of held-out masks."""

    solver: str
    coding: str
    """Mask coding, `zero_one` or `plus_minus`."""
    rank: int
    """Rank of the factorization; 0 if the solver has none."""
    l2: float
    """L2 (or L1, for the lasso) strength; 0.0 if the solver samples or chooses it itself."""
    r2_held_out: Estimate
    """R2 on the held-out masks; bootstrap over these masks, prompts and fit fixed."""
    gain: Estimate | None
    """`r2_held_out` minus that of the linear model, on the same resamples; None for the linear model."""


@dataclass(frozen=True, kw_only=True)
class HeldOutR2(Finding):
    """R2 of several models on masks on which nothing was fitted or chosen.

    Intervals are bootstraps over these masks, prompts and fits fixed; differences use the same draws.
    """

    solver: Estimate
    """R2 of the solver whose weights are reported."""
    linear: Estimate
    """R2 of the model without pairs."""
    gain: Estimate
    """`solver` minus `linear`: what interactions add."""
    pairs: Estimate
    """R2 of the best pairwise model; at most `1 - pairs` is beyond all of them, with any masks."""
    pairs_solver: str
    """Solver of that model, chosen on the other masks by cross-validation."""
    beyond_pairs: Estimate
    """R2 of the sparse model with terms of any order, minus `pairs`."""
    half_masks: Estimate
    """R2 of the solver fitted on half of the other masks."""
    other_half: Estimate
    """`solver` minus `half_masks`: what doubling the masks gained; more masks would gain more."""
    pairs_over_linear: Estimate
    """R2 of the single effects and pairs of the reported solver, minus `linear`."""
    curve: Estimate
    """R2 of one monotone curve over single effects, without pairs (global epistasis); of a mean over
    prompts, the mean of one curve a prompt."""
    pairs_over_curve: Estimate
    """R2 of the curve with pairs fitted to what it leaves, minus `curve`."""

    @property
    def why_unnamed(self) -> str:
        """The rival that pairs do not beat, one sentence with the gain; empty if they beat both."""
        rivals = (
            ("single effects", self.pairs_over_linear),
            ("one curve over single effects", self.pairs_over_curve),
        )
        for rival, gain in rivals:
            if gain.low <= NO_GAIN:
                return (
                    f"Pairs do not predict held-out masks better than {rival}: gain in R2 "
                    f"{gain.value:+z.3f} [{gain.low:+z.3f}, {gain.high:+z.3f}]."
                )
        return ""


@dataclass(frozen=True, kw_only=True)
class ExplainedExactly(Finding):
    """Shares of the scores' variance over all 2^n masks; exact, since every set was scored."""

    linear: float
    """Share explained by single features."""
    pairs: float
    """Share explained by single features and pairs."""
    curve: float
    """Share explained by a monotone curve, of any shape, over single effects."""


@dataclass(frozen=True, kw_only=True)
class InteractionGraph(Finding):
    """Pairwise interactions of a set of features, fitted on scored ablation masks."""

    scope: str
    """A prompt id, or `pooled`: the mean score over several prompts."""
    n_prompts: int
    """Number of prompts that the score is the mean over; intervals are over masks only."""
    players: tuple[Feature, ...]
    """Features whose ablation the masks switch."""
    design: str
    """`random` masks, `all` (every one of the 2^n masks), or `none` if nothing was scored."""
    n_masks: int
    n_held_out: int
    """Number of masks scored, and of those among them that are held out."""
    solver: str
    """`walsh`, `fm_bayes`, `fm_als`, `lasso`, or `exact` if computed from all masks."""
    rank: int
    r2: HeldOutR2 | None
    """None if nothing was fitted, or all was computed exactly."""
    explained: ExplainedExactly | None
    """None unless `solver` is `exact`."""
    fits: tuple[SolverFit, ...]
    pairs: tuple[PairInteraction, ...]
    """Every pair, by falling absolute weight."""
    null_weight: float | None
    """Null of a pair weight (nats): the largest absolute one over refits of shuffled scores; with 20
    shuffles a graph without interactions exceeds it one time in 21. If `exact`, the size called
    negligible. None if there are no weights."""
    null_beyond_curve: float | None
    """Null of `beyond_curve` (nats), in the same way over refits of the curve and of pairs in what it
    leaves. If `exact`, the size called negligible. None if there are no weights."""
    n_sets_scored: int
    """Number of ablated sets scored."""
    reason: str
    """Why nothing was fitted (fewer than two players, a constant score); else empty."""
    null_triple: float | None = None
    """Null of a third difference (nats): the largest of all triples exceeds it by chance in one graph
    of 20; None if no triple was looked for."""
    triples: tuple[TripleInteraction, ...] = ()
    """Terms of third order beyond `null_triple`, by falling absolute weight; empty if pairs suffice."""
    classifiers: tuple[ClassifierFit, ...] = ()
    """Empty if the held-out or the training masks are all refused, or all complied."""

    @computed_field
    @property
    def r2_held_out(self) -> Estimate | None:
        """`r2.solver`, by the name that other programs use."""
        return None if self.r2 is None else self.r2.solver

    @computed_field
    @property
    def r2_linear(self) -> Estimate | None:
        """`r2.linear`, by the name that other programs use."""
        return None if self.r2 is None else self.r2.linear

    @computed_field
    @property
    def predicts(self) -> bool:
        """Whether pairs may be claimed: on held-out masks they gain over single effects, and over one
        monotone curve of single effects, both intervals above 0. If every mask was scored, whether
        such a curve leaves any pair. False if nothing was fitted."""
        return bool(self.pairs) and not self.why_unnamed

    @property
    def named(self) -> tuple[PairInteraction, ...]:
        """The pairs named redundant or on a shared path; none unless the graph `predicts`."""
        return tuple(pair for pair in self.pairs if pair.kind is not PairKind.UNCLEAR)

    @computed_field
    @property
    def why_unnamed(self) -> str:
        """Why no pair may be named, one sentence with its number; empty if the graph `predicts`."""
        if not self.pairs:
            return f"No pairs were fitted: {self.reason or 'there is none'}."
        if self.r2 is None:
            return (
                "" if self.named else "Over all masks a curve over single effects leaves no pair."
            )
        return self.r2.why_unnamed


@dataclass(frozen=True, kw_only=True)
class FitOverPrompts(Finding):
    """One solver's fits of single prompts, averaged over prompts."""

    solver: str
    r2_held_out: Estimate
    """Mean held-out R2 over prompts."""
    gain: Estimate | None
    """Mean over prompts of its R2 minus the linear model's; None for the linear model."""


@dataclass(frozen=True, kw_only=True)
class PairOverPrompts(Finding):
    """One pair of features, over the prompts whose own fits contain both."""

    a: Feature
    b: Feature
    n_redundant: int
    n_shared_path: int
    """Numbers of prompts on which the pair is named redundant, and shared path."""
    n_fitted: int
    """Number of prompts whose own fit contains both features."""
    weight: Estimate | None
    """Median weight over those prompts, nats; None if they are fewer than two."""
    null_weight: float | None
    """Median null of a weight in the same fits, nats; None if they are fewer than two."""


@dataclass(frozen=True, kw_only=True)
class InteractionsOverPrompts(Finding):
    """Interactions of single prompts, summarised; each prompt is one case."""

    fits: tuple[FitOverPrompts, ...]
    """By falling mean R2; empty if fewer than two prompts were fitted."""
    curve: Estimate | None
    """Mean held-out R2 of one monotone curve over single effects; None if fewer than two prompts were
    fitted."""
    pairs_over_curve: Estimate | None
    """Mean over prompts of what pairs add to it; None if fewer than two prompts were fitted."""
    predicting: Estimate | None
    """Share of fitted prompts whose pairs predict held-out masks beyond single effects and beyond the
    curve; None if no prompt was fitted."""
    naming: Estimate | None
    """Share of fitted prompts on which at least one pair is named; None if no prompt was fitted."""
    naming_under_null: float
    """Expected share under the null: at most 1 / (n_shuffles + 1)."""
    pairs: tuple[PairOverPrompts, ...]
    """Pairs named on two prompts or more, or in the pooled fit; most often named first."""
