"""What features do together that they do not do one by one."""

from dataclasses import dataclass
from enum import StrEnum

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
class PairInteraction:
    """The interaction of two features on the refusal score, in nats."""

    a: Feature
    b: Feature
    weight: float
    """Second difference `y(ab) - y(a) - y(b) + y()`, 0/1 ablation masks, averaged over the states of
    the other features (Banzhaf interaction), nats; by the solver."""
    low: float
    high: float
    """95% interval of `weight`."""
    kind: PairKind
    lasso: float | None
    """The same weight by a lasso on all pair products, the check on the solver; None where every
    mask was measured and there is nothing to check."""


@dataclass(frozen=True, kw_only=True)
class TripleInteraction:
    """What three features do together that no pair of them explains."""

    a: Feature
    b: Feature
    c: Feature
    weight: float
    """Third difference of the refusal score, 0/1 ablation masks, averaged over the states of the
    other features; nats."""
    low: float
    high: float
    """95% interval of `weight`."""


@dataclass(frozen=True, kw_only=True)
class ClassifierFit:
    """A model of whether the prompt is refused under a mask, beside the model of the score."""

    classifier: str
    """`logistic_l1` on all pair products, or `fm_probit`, a factorization machine."""
    auroc_held_out: float
    """Of refused against complied, on the masks kept apart."""
    sign_agreement: float | None
    """Share of the named pairs whose weight has the same sign here; None where no pair is named."""


@dataclass(frozen=True, kw_only=True)
class SolverFit:
    """How well one solver predicts the scores of masks it has not seen."""

    solver: str
    coding: str
    """Mask coding, `zero_one` or `plus_minus`."""
    rank: int
    """Rank of the factorization; 0 where the solver has none."""
    l2: float
    """L2 (or L1, for the lasso) strength; 0.0 where the solver samples or chooses it itself."""
    r2_held_out: float


@dataclass(frozen=True, kw_only=True)
class InteractionGraph:
    """Pairwise interactions of a set of features, fitted on measured ablation masks."""

    scope: str
    """A prompt id, or `pooled`: the mean score over several prompts."""
    players: tuple[Feature, ...]
    design: str
    """`random` masks, `all` (every one of the 2^n masks), or `none` where nothing was measured."""
    n_masks: int
    n_held_out: int
    solver: str
    """`walsh`, `fm_bayes`, `fm_als`, `lasso`, or `exact` where so few masks exist that weights are
    computed."""
    rank: int
    r2_held_out: float
    """Of `solver`, on masks kept apart (`exact`: on all masks)."""
    r2_linear: float
    """Of the linear model on the same masks: what pairs add is the difference."""
    fits: tuple[SolverFit, ...]
    pairs: tuple[PairInteraction, ...]
    """Every pair, sorted by falling absolute weight."""
    null_weight: float
    """Largest absolute pair weight over refits of shuffled scores, nats: with 20 shuffles a graph
    without interactions exceeds it one time in 21."""
    n_sets_scored: int
    reason: str
    """Why nothing was fitted (fewer than two players, a constant score); else empty."""
    r2_pairs: float | None = None
    """Of the best pairwise model on the same masks (`exact`: on all masks): at most what it
    lacks of 1 is beyond every pairwise model, however many the masks. None where nothing was fitted."""
    r2_half_masks: float | None = None
    """Of `solver` fitted on half of the masks: what its error gained from the other half is error of
    sampling, which more masks mend. None where nothing was fitted, or computed from all masks."""
    triples: tuple[TripleInteraction, ...] = ()
    """Terms of third order beyond chance, by falling absolute weight; empty where pairs suffice."""
    classifiers: tuple[ClassifierFit, ...] = ()
    """Empty where the held-out or the training masks are all refused, or all complied."""
