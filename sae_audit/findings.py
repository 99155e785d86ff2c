"""What each stage hands over: frozen, typed, free of torch, every number with its meaning.

A finding carries its certificate: the scores that prove it, the number of cases, the interval,
the control. The record stores these objects as they are; the report prints them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from sae_audit.vocabulary import FeatureId


def _as_feature(value: Any) -> FeatureId:
    if isinstance(value, FeatureId):
        return value
    if isinstance(value, str):
        return FeatureId.parse(value)
    layer, index = value
    return FeatureId(int(layer), int(index))


Feature = Annotated[
    FeatureId,
    BeforeValidator(_as_feature),
    PlainSerializer(lambda feature: [feature.layer, feature.index], return_type=list[int]),
]
"""A feature id, written `[layer, index]` in JSON."""

FeatureKey = Annotated[
    FeatureId,
    BeforeValidator(_as_feature),
    PlainSerializer(str, return_type=str),
]
"""A feature id as a key of a JSON object, written `L16/25312`."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its interval and the number of cases behind it."""

    value: float
    low: float
    high: float
    n: int
    method: str
    """How the interval was made, e.g. "Wilson 95%" or "bootstrap 95%"."""


@dataclass(frozen=True, kw_only=True)
class PromptScore:
    """How the unablated model treats one prompt."""

    prompt_id: str
    split: str
    """`train`, `validation` or `audit`."""
    label: str
    """`harmful` or `harmless`."""
    category: str
    score: float
    """Refusal score of the clean run, nats of log-odds; > 0 refuses."""


@dataclass(frozen=True)
class DirectionEvaluation:
    """One candidate refusal direction and what interventions with it do (2406.11717, section 2.3)."""

    position: int
    """Template position, counted from the prompt's end: -1 is the last token."""
    layer: int
    """Layer whose `resid_post` the means were taken at."""
    bypass: float
    """Mean refusal score (nats) on harmful prompts, direction projected out everywhere."""
    induce: float
    """Mean refusal score (nats) on harmless prompts, un-normalised direction added at `layer`."""
    kl: float
    """Mean KL divergence (nats) of the next-token distribution on harmless prompts, clean against
    projected out."""


@dataclass(frozen=True, kw_only=True)
class Direction:
    """The refusal direction, chosen on validation prompts."""

    method: str
    selected: DirectionEvaluation
    evaluations: tuple[DirectionEvaluation, ...]
    vector: tuple[float, ...]
    """Un-normalised difference of means at the selected place, `[d_model]`."""
    clean_harmful: float
    """Mean refusal score of the unablated model on the same harmful validation prompts, nats."""
    clean_harmless: float
    """The same on the harmless validation prompts."""
    n_train: tuple[int, int]
    """Harmful and harmless prompts behind the means."""
    n_validation: tuple[int, int]
    """Harmful and harmless prompts behind bypass, induce and KL."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One candidate feature."""

    feature: Feature
    cosine: float
    """Cosine of the feature's decoder row with the refusal direction."""
    attribution: float | None = None
    """Estimated drop of the refusal score (nats) if it were ablated, mean over refused training
    prompts; None where candidates were chosen by cosine alone."""


@dataclass(frozen=True, kw_only=True)
class CandidateSet:
    """The features a search may choose from: the top of each audited layer."""

    method: str
    """`cosine` with the direction, estimated effect (`attribution`), or by that within the first
    (`cosine_attribution`)."""
    per_layer: int
    candidates: tuple[Candidate, ...]
    chance_cosine: float
    """The cosine that the top `per_layer` of equally many random rows would reach, averaged over
    layers: the control beside every cosine above."""


@dataclass(frozen=True, kw_only=True)
class MinimalSet:
    """Features whose joint ablation flips one prompt, none of which can be spared."""

    prompt_id: str
    features: tuple[Feature, ...]
    """Sorted. Empty where the prompt could not be flipped."""
    search: str
    """The search that found it."""
    score_clean: float
    """Refusal score, nats of log-odds; > 0 refuses."""
    score_candidates: float
    """Score with all candidates ablated: the furthest this pool reaches."""
    score_ablated: float
    """Score with `features` ablated; < 0 complies."""
    score_without: Mapping[FeatureKey, float]
    """Score when this one feature is spared. Every value >= 0: that is 1-minimality."""
    found_by_search: tuple[Feature, ...]
    """What the search returned; larger than `features` where the certificate showed that some of
    it could be spared."""
    n_candidates: int
    n_sets_scored: int
    """Ablated sets evaluated by the search, certificate included."""
    reason: str
    """Why the prompt could not be flipped; empty where it was."""

    @property
    def flipped(self) -> bool:
        return bool(self.features)

    @property
    def certified(self) -> bool:
        """Whether the scores prove it: the set flips, and sparing any one feature undoes that."""
        return (
            self.flipped
            and self.score_ablated < 0.0
            and set(self.score_without) == set(self.features)
            and all(score >= 0.0 for score in self.score_without.values())
        )


@dataclass(frozen=True, kw_only=True)
class PooledSet:
    """One set for many prompts, built on some of them and tried on others."""

    features: tuple[Feature, ...]
    built_on: tuple[str, ...]
    held_out: tuple[str, ...]
    flipped_built: Estimate
    flipped_held_out: Estimate
    share_without: Mapping[FeatureKey, float]
    """Share of the building prompts still flipped when this one feature is spared; every value is
    below `flipped_built.value`: no feature can be spared."""
    n_sets_scored: int


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


@dataclass(frozen=True, kw_only=True)
class Wake:
    """One dormant feature, and the ablated features without whose ablation it stays asleep."""

    feature: Feature
    activation: float
    """Largest activation over positions once the earlier waves are ablated."""
    pull: float
    """Sum over positions of activation times (decoder row . unit refusal direction)."""
    effect: float
    """Nats by which ablating it too lowers the refusal score."""
    woken_by: tuple[Feature, ...]
    """Features of earlier waves whose sparing alone puts it back to sleep; empty where several
    cover for each other."""


@dataclass(frozen=True, kw_only=True)
class Wave:
    """One round of the cascade."""

    features: tuple[Feature, ...]
    score_after: float
    """Refusal score with this and all earlier waves ablated, nats."""
    n_awake: int
    """Dormant features, in the whole suite, that fire once the earlier waves are ablated; 0 for
    the first wave, whose features fire on the clean run."""
    wakes: tuple[Wake, ...]
    """The tested dormant features that this wave ablates; empty for the first wave."""


@dataclass(frozen=True, kw_only=True)
class Cascade:
    """Redundant features of one prompt, layer behind layer."""

    prompt_id: str
    waves: tuple[Wave, ...]
    score_clean: float
    unplaced: tuple[Feature, ...]
    """Features of the minimal set that fire in no wave; empty unless waves interfere."""
    compensation_ratio: float | None
    """`1 - total effect / direct effect` (2307.15771): the share of the first wave's effect that
    waking features undo. Direct: every feature dormant on the clean run held at zero."""
    compensation_reason: str
    """Why the ratio is not stated; empty where it is."""
    stop: str
    """Why the cascade ended."""
    n_sets_scored: int

    @property
    def depth(self) -> int:
        return len(self.waves)


@dataclass(frozen=True, kw_only=True)
class SetControl:
    """What an equally large set of another origin does, on the same prompts."""

    name: str
    """`minimal`, `random_matched`, `linear_probe`, `top_cosine`."""
    flipped: Estimate
    """Share of prompts flipped."""
    score_drop: Estimate
    """Mean fall of the refusal score, nats."""


@dataclass(frozen=True, kw_only=True)
class Collateral:
    """What ablating one set does to harmless prompts."""

    name: str
    kl: Estimate
    """KL divergence of the next-token distribution, clean against ablated, nats."""
    cross_entropy_change: Estimate
    """Change of the cross-entropy (nats a token) of the model's own clean answers."""


@dataclass(frozen=True, kw_only=True)
class ErrorTermControl:
    """The same minimal sets under each treatment of the SAE's error term."""

    flipped_kept: Estimate
    flipped_frozen: Estimate
    """The error put back to the clean run's: nothing passes through it."""
    flipped_dropped: Estimate
    refused_dropped_alone: Estimate
    """Share of refused prompts still refused when the SAE replaces the stream and nothing is
    ablated: what the dictionary itself breaks."""


@dataclass(frozen=True, kw_only=True)
class Controls:
    per_prompt: tuple[SetControl, ...]
    """Each prompt's own set against equally large sets for that prompt."""
    pooled: tuple[SetControl, ...]
    """The pooled set against equally large sets, on the prompts it was not built on."""
    collateral: tuple[Collateral, ...]
    error_term: ErrorTermControl | None
    """None where no prompt was flipped: there is no set to try."""


@dataclass(frozen=True, kw_only=True)
class TextCheck:
    """One answer read by the judge, beside the refusal score of the same run."""

    prompt_id: str
    case: str
    """Refused prompts: `clean`, `ablated` (its own minimal set), `pooled` (the pooled set, where it
    was not built on the prompt); `harmless`: unablated harmless prompts."""
    score: float
    complied: bool
    """What the judge says of the answer's text."""

    @property
    def agrees(self) -> bool:
        return self.complied == (self.score < 0.0)


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """Flips confirmed in text, and how often first-token score and judge agree."""

    judge: str
    answer_tokens: int
    checks: tuple[TextCheck, ...]
    confirmed: Estimate | None
    """Share of flipped prompts whose answer under ablation the judge calls compliance; None where
    no prompt was flipped."""
    complied_clean: Estimate
    """The control: share of the same prompts' unablated answers that it calls so."""
    agreement: Estimate
    """Share of all answers on which the sign of the score and the judge agree."""


CE_PROMPTS = 16
"""Audit prompts of each label that the cross-entropy of `SaeQuality` is measured on: the first."""
CE_TOKENS = 16
"""Longest answer to each that it is the cross-entropy of."""


@dataclass(frozen=True, kw_only=True)
class SaeQuality:
    """How well one layer's SAE describes this model on the audited prompts."""

    layer: int
    explained_variance: float
    """`1 - sum |x - x_hat|^2 / sum |x - mean x|^2`, over all tokens."""
    explained_variance_without_bos: float
    """The same over all tokens but BOS, whose norm is many times that of any other."""
    l0: float
    """Average number of firing features a token."""
    ce_recovered: float | None
    """`(CE_zero - CE_sae) / (CE_zero - CE_clean)`: 1 where the reconstruction predicts as well as
    the model, 0 where no better than zeros (SAEBench, 2503.09532; 2505.23556).

    CE is the cross-entropy of the clean model's own greedy answers, up to `CE_TOKENS` tokens each
    and given the prompt, to the first `CE_PROMPTS` harmful and as many harmless prompts; not that
    of the prompts' tokens, which a chat model need never have learnt to predict. For CE_sae the
    output of this one layer is replaced by its reconstruction, for CE_zero by zeros, throughout
    prompt and answer; BOS positions are left as they are in both: Gemma Scope, for one, was not
    trained on them. Slightly above 1 where the reconstruction is surer of these answers than the
    model. None where there is no ratio: CE_zero <= CE_clean.
    """
    ce_clean: float
    """CE of the model itself: of its own answers, nats a token."""


@dataclass(frozen=True, kw_only=True)
class StageCost:
    """What one stage cost."""

    stage: str
    forward_passes: int
    """One pass is one prompt with one ablation through the model."""
    tokens: int
    seconds: float
