"""What features do together that they do not do one by one."""

from dataclasses import dataclass
from enum import StrEnum

from pydantic import computed_field

from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding
from sae_audit.findings.features import Feature


class PairKind(StrEnum):
    """What the sign of a pair's weight says of two features under ablation (METHODS 5)."""

    REDUNDANT = "redundant"
    """Negative: together they lower the score by more than their sum; each covers for the other."""
    SHARED_PATH = "shared_path"
    """Positive: together they lower it by less than their sum; they work through one path."""
    UNCLEAR = "unclear"
    """The interval holds zero, or the weight is within what shuffled scores give."""


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
    """95% interval of `weight` over masks, the prompts as they are; `weight` itself where every mask was
    scored (`exact`) and there is no sampling error."""
    kind: PairKind
    lasso: float | None
    """The same weight by a lasso on all pair products, the check on the solver; None where every
    mask was measured and there is nothing to check."""


@dataclass(frozen=True, kw_only=True)
class TripleInteraction(Finding):
    """What three features do together that no pair of them explains."""

    a: Feature
    b: Feature
    c: Feature
    weight: float
    """Third difference of the refusal score, 0/1 ablation masks, averaged over the states of the
    other features; nats."""
    low: float
    high: float
    """95% interval of `weight` over masks, the prompts as they are."""


@dataclass(frozen=True, kw_only=True)
class ClassifierFit(Finding):
    """A model of whether the prompt is refused under a mask, beside the model of the score."""

    classifier: str
    """`logistic_main` on single features, which the others must do better than; `logistic_l1` on all
    pair products as well; `fm_probit`, a factorization machine."""
    auroc_held_out: Estimate
    """Of refused against complied, on the masks kept apart; chance is 0.5."""
    n_refused: int
    n_complied: int
    """Masks kept apart of either kind."""
    sign_agreement: Estimate | None
    """Share of the named pairs whose weight has the same sign here, chance 0.5; None where no pair is
    named, or the classifier has none."""


@dataclass(frozen=True, kw_only=True)
class SolverFit(Finding):
    """How well one solver predicts the scores of masks it has not seen."""

    solver: str
    coding: str
    """Mask coding, `zero_one` or `plus_minus`."""
    rank: int
    """Rank of the factorization; 0 where the solver has none."""
    l2: float
    """L2 (or L1, for the lasso) strength; 0.0 where the solver samples or chooses it itself."""
    r2_held_out: Estimate
    """Bootstrap over the masks kept apart, the prompts and the fit as they are."""
    gain: Estimate | None
    """`r2_held_out` less that of the linear model on the same masks, resampled together; None for the
    linear model."""


@dataclass(frozen=True, kw_only=True)
class HeldOutR2(Finding):
    """How well models predict masks on which nothing was fitted or chosen.

    Intervals are bootstraps over these masks, the prompts and the fits as they are; differences are of
    the same resamples.
    """

    solver: Estimate
    """Of the solver whose weights are reported."""
    linear: Estimate
    """Of the model without pairs."""
    gain: Estimate
    """`solver` less `linear`: what interactions add."""
    pairs: Estimate
    """Of the best pairwise model: at most what it lacks of 1 is beyond every pairwise model, however
    many the masks."""
    pairs_solver: str
    """Whose it is; chosen on the other masks, by cross-validation."""
    beyond_pairs: Estimate
    """Of the sparse model with terms of any order, less `pairs`."""
    half_masks: Estimate
    """Of the solver fitted on half of the other masks."""
    other_half: Estimate
    """`solver` less `half_masks`: the error of sampling that the other half mended, and more masks would
    mend further."""


@dataclass(frozen=True, kw_only=True)
class ExplainedExactly(Finding):
    """Shares of the scores' variance over all 2^n masks: every set was scored, nothing is estimated."""

    linear: float
    """By single features."""
    pairs: float
    """By single features and pairs."""


@dataclass(frozen=True, kw_only=True)
class InteractionGraph(Finding):
    """Pairwise interactions of a set of features, fitted on measured ablation masks."""

    scope: str
    """A prompt id, or `pooled`: the mean score over several prompts."""
    n_prompts: int
    """Prompts that the score is the mean over. Intervals are over masks, given these prompts."""
    players: tuple[Feature, ...]
    design: str
    """`random` masks, `all` (every one of the 2^n masks), or `none` where nothing was measured."""
    n_masks: int
    n_held_out: int
    solver: str
    """`walsh`, `fm_bayes`, `fm_als`, `lasso`, or `exact` where so few masks exist that weights are
    computed."""
    rank: int
    r2: HeldOutR2 | None
    """None where nothing was fitted, or all was computed."""
    explained: ExplainedExactly | None
    """None unless `solver` is `exact`."""
    fits: tuple[SolverFit, ...]
    pairs: tuple[PairInteraction, ...]
    """Every pair, sorted by falling absolute weight."""
    null_weight: float | None
    """Largest absolute pair weight over refits of shuffled scores, nats: with 20 shuffles a graph
    without interactions exceeds it one time in 21. Where weights are computed, what is called
    negligible; None where there are none."""
    n_sets_scored: int
    reason: str
    """Why nothing was fitted (fewer than two players, a constant score); else empty."""
    null_triple: float | None = None
    """Absolute third difference, nats, that the largest of all triples exceeds by chance in one graph
    of 20; None where no triple was looked for."""
    triples: tuple[TripleInteraction, ...] = ()
    """Terms of third order beyond `null_triple`, by falling absolute weight; empty where pairs
    suffice."""
    classifiers: tuple[ClassifierFit, ...] = ()
    """Empty where the held-out or the training masks are all refused, or all complied."""

    @computed_field
    @property
    def r2_held_out(self) -> Estimate | None:
        """`r2.solver`, by the name that other programs know."""
        return None if self.r2 is None else self.r2.solver

    @computed_field
    @property
    def r2_linear(self) -> Estimate | None:
        """`r2.linear`, by the name that other programs know."""
        return None if self.r2 is None else self.r2.linear


@dataclass(frozen=True, kw_only=True)
class FitOverPrompts(Finding):
    """One solver's fits of single prompts together."""

    solver: str
    r2_held_out: Estimate
    """Mean over prompts."""
    gain: Estimate | None
    """Mean over prompts of what it has above the linear model, prompt by prompt; None for that one."""


@dataclass(frozen=True, kw_only=True)
class PairOverPrompts(Finding):
    """A pair of features over the prompts whose own fits hold both."""

    a: Feature
    b: Feature
    n_redundant: int
    n_shared_path: int
    """Prompts on which the pair is named so."""
    n_fitted: int
    """Prompts whose own fit holds both features."""
    weight: Estimate | None
    """Median over those prompts, nats; None for fewer than two."""
    null_weight: float | None
    """Median chance level of a weight in the same fits, nats; None for fewer than two."""


@dataclass(frozen=True, kw_only=True)
class InteractionsOverPrompts(Finding):
    """What the fits of single prompts say together; prompts are the cases."""

    fits: tuple[FitOverPrompts, ...]
    """By falling mean R2; empty for fewer than two fitted prompts."""
    naming: Estimate | None
    """Share of fitted prompts on which at least one pair is named; None where none was fitted."""
    naming_under_null: float
    """That share where nothing interacts, at most: one in one more than there are shuffles."""
    pairs: tuple[PairOverPrompts, ...]
    """Pairs named on two prompts or more, or in the pooled fit; those named most often first."""
