"""What each stage hands over: frozen, typed, free of torch, every number with its meaning.

A finding carries its certificate: the scores that prove it, the number of cases, the interval,
the control. The record stores these objects as they are; the report prints them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from sae_audit.vocabulary import FeatureId, TokenClass


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
class Behaviour:
    """What the unablated model's scores say on the audit prompts, before anything is looked for."""

    refused_harmful: Estimate
    """Share of harmful prompts with refusal score > 0."""
    refused_harmless: Estimate
    separation: Estimate
    """AUROC: the chance that a harmful prompt scores above a harmless one, ties counted half."""
    separation_p_value: float
    """One-sided, labels permuted: that harmful prompts score no higher than harmless ones."""


class AbsenceKind(StrEnum):
    """Why an audit claims no refusal mechanism, in the order in which it is asked."""

    NO_REFUSAL = "no_refusal"
    """The model refuses (nearly) nothing."""
    REFUSES_EVERYTHING = "refuses_everything"
    """It refuses (nearly) every harmless prompt too."""
    NO_SEPARATION = "no_separation"
    """Its scores tell harmful from harmless prompts no better than chance."""
    NO_DIRECTION = "no_direction"
    """No candidate direction passes the filters."""
    NO_FLIP = "no_flip"
    """No refused prompt is flipped, even with all candidates ablated."""
    NOT_BEYOND_CHANCE = "not_beyond_chance"
    """The same search among random candidates does as well."""

    @property
    def early(self) -> bool:
        """Whether the audit stopped there: no feature was looked for."""
        return self not in (AbsenceKind.NO_FLIP, AbsenceKind.NOT_BEYOND_CHANCE)


@dataclass(frozen=True, kw_only=True)
class Absence:
    """The finding that there is no refusal mechanism to report, with its evidence."""

    kind: AbsenceKind
    reason: str
    """The numbers that say so, in one or two sentences."""
    also: tuple[AbsenceKind, ...]
    """Later questions of the same kind that this model fails as well."""
    remedy: str
    """What to check before believing it."""
    n_train: tuple[int, int]
    """Harmful and harmless training prompts behind the recorded means: where the audit stopped
    before a direction was sought these are all prompts of the label, however treated."""


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
class RandomRange:
    """The same number for random directions (or sets of features) in place of the found: its control.

    Random directions have the refusal direction's norm, are at right angles to it, and are drawn
    from how the stream varies, at its layer and position, among training prompts of one label.
    """

    mean: float
    lowest: float
    highest: float
    n: int
    """Random directions, or sets."""


@dataclass(frozen=True, kw_only=True)
class Controlled:
    """A number of the refusal direction, and what random directions give."""

    own: Estimate
    """Over audit prompts, on which nothing was chosen."""
    random: RandomRange


@dataclass(frozen=True, kw_only=True)
class DirectionCheck:
    """What the chosen direction does on audit prompts, beside random directions.

    Harmful prompts are those refused, harmless ones those answered, as in the choice itself.
    """

    clean_harmful: Estimate
    """Mean refusal score of the unablated model on the same harmful prompts, nats."""
    clean_harmless: Estimate
    bypass: Controlled
    """Mean refusal score of harmful prompts, direction projected out everywhere, nats."""
    flipped: Controlled
    """Share of harmful prompts whose score falls below 0 when it is."""
    induce: Controlled
    """Mean refusal score of harmless prompts, direction added at its layer, nats."""
    induced: Controlled
    """Share of harmless prompts whose score rises above 0 when it is."""
    kl: Controlled
    """Mean KL of the next token on harmless prompts, clean against projected out, nats."""
    stability: Estimate
    """Mean cosine of the direction with those of resampled training prompts (2602.02132), and
    the central 95% of these cosines."""


@dataclass(frozen=True, kw_only=True)
class LayerCoverage:
    """How much of what tells harmful from harmless along the direction one layer's SAE shows."""

    layer: int
    gap: Estimate
    """Mean component along the unit direction, refused harmful minus answered harmless audit
    prompts, at the direction's position; in the stream's own unit."""
    in_reconstruction: Estimate | None
    """Share of `gap` that the SAE's reconstruction has; above 1 where it overstates it. None where
    there is no gap to speak of: some resample of the prompts has none, or one the other way."""
    in_error: Estimate | None
    """The rest, which no feature shows."""
    random: RandomRange | None
    """Control of `in_reconstruction`: by how much the reconstruction moves along a random direction
    when the stream does, on the same prompts (slope, 1 where nothing is missed). None where the
    stream does not vary along them."""


@dataclass(frozen=True, kw_only=True)
class DictionaryCoverage:
    """How much of the mechanism the candidates reach, and how much no SAE shows.

    Mean refusal scores (nats) of the refused audit prompts under five conditions, and the shares
    that follow. "Replaced" is: set to the mean over answered harmless training prompts, at every
    audited layer and ablated position (`controls.dictionary_coverage` says how and why).
    """

    clean: Estimate
    candidates: Estimate
    """All candidates ablated, as the audit ablates."""
    dictionary: Estimate
    """Replaced: what the SAEs' reconstructions have along the direction."""
    direction: Estimate
    """Replaced: all that the stream has along the direction."""
    error: Estimate
    """Replaced: what the SAEs' error terms have along the direction."""
    hidden_from_candidates: Estimate | None
    """`(candidates - direction) / (clean - direction)`: the share of what removing the direction
    does that ablating all candidates does not. Below 0 where candidates do more, for features also
    act off the direction. None, as the next two, where `reason` says why."""
    hidden_from_dictionary: Estimate | None
    """`(dictionary - direction) / (clean - direction)`: the same for all that any SAE shows."""
    carried_by_error: Estimate | None
    """`(clean - error) / (clean - direction)`: the share that replacing the error terms' part does
    while the rest stays as it is."""
    random_features: RandomRange | None
    """Control of the candidates: the fall of the score when as many random features are ablated,
    matched in layer and firing rate, as a share of the fall by the refusal direction. None also
    where the SAEs have too few other features."""
    random_direction: RandomRange | None
    """Control: the fall of the score when a random direction is replaced, as a share of the fall by
    the refusal direction."""
    random_error: RandomRange | None
    """Control of `carried_by_error`: the same for error terms' part of a random direction."""
    reason: str
    """Why there are no shares; else empty."""
    layers: tuple[LayerCoverage, ...]


@dataclass(frozen=True, kw_only=True)
class NearestDirection:
    """What stands in a direction's place where none passes the filters."""

    evaluation: DirectionEvaluation | None
    """The candidate that fails fewest filters, of those the one of lowest bypass; None where every
    candidate has a number that is not finite."""
    failed: tuple[str, ...]
    """The filters it fails."""
    reason: str
    """Why no candidate was chosen, with the numbers that come nearest."""


@dataclass(frozen=True, kw_only=True)
class NoDirection:
    """Every candidate direction was tried, and none passes the filters."""

    method: str
    nearest: NearestDirection
    evaluations: tuple[DirectionEvaluation, ...]
    clean_harmful: float
    """Mean refusal score of the unablated model on the same harmful validation prompts, nats."""
    clean_harmless: float
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
class WidenedPool:
    """What one prompt's candidates were widened by, because together they did not flip it."""

    prompt_id: str
    added: tuple[tuple[Feature, ...], ...]
    """Round by round, the features with the largest estimated effect once all before are ablated,
    the largest first. Empty where the candidates flip the prompt."""
    scores: tuple[float, ...]
    """Refusal score with the whole pool ablated, nats: of the candidates, then after each round."""


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
class CertifiedSet:
    """One of several minimal sets of a prompt."""

    features: tuple[Feature, ...]
    """Sorted."""
    score_ablated: float
    """Refusal score with `features` ablated, nats; < 0 complies."""
    score_without: Mapping[FeatureKey, float]
    """Score when this one feature is spared. Every value >= 0: that is 1-minimality."""

    @property
    def certified(self) -> bool:
        """Whether the scores prove it: the set flips, and sparing any one feature undoes that."""
        return (
            self.score_ablated < 0.0
            and set(self.score_without) == set(self.features)
            and all(score >= 0.0 for score in self.score_without.values())
        )


@dataclass(frozen=True, kw_only=True)
class MinimalSetFamily:
    """The minimal sets of one flipped prompt: how many ways there are to flip it."""

    prompt_id: str
    sets: tuple[CertifiedSet, ...]
    """Each certified, in the order found; the first is the prompt's `MinimalSet`."""
    complete: bool
    """Whether there is no other minimal set among the candidates, provided that ablating more
    never restores refusal. False where the budget ended before, or scores contradict that."""
    contradicted: bool
    """Whether some scored set refuses although a part of it flips. Where not, the proviso is not
    proved either: only sets that were scored speak for it."""
    n_sets_scored: int
    """Ablated sets evaluated to find those after the first, certificates included."""

    @property
    def core(self) -> tuple[FeatureId, ...]:
        """Features in every set; a set not found could only make them fewer. Where the list is
        complete, no flip does without them."""
        own = [frozenset(one.features) for one in self.sets]
        return tuple(sorted(frozenset.intersection(*own)))

    @property
    def replaceable(self) -> tuple[FeatureId, ...]:
        """Features in some of the sets, and not in all."""
        held = {feature for one in self.sets for feature in one.features}
        return tuple(sorted(held.difference(self.core)))

    @property
    def smallest(self) -> int:
        """Features in the smallest of the sets."""
        return min(len(one.features) for one in self.sets)


@dataclass(frozen=True, kw_only=True)
class DosePoint:
    """One prompt's refusal score with a set ablated by one dose."""

    dose: float
    """Share of the way from each feature's activation to its clamp; 1 is the ablation."""
    score: float
    """Nats; < 0 complies."""


@dataclass(frozen=True, kw_only=True)
class FlipDose:
    """How much of a set's ablation flips one prompt."""

    prompt_id: str
    ablated: str
    """`minimal_set`, the prompt's own; or `candidates`, all of them, where the whole ablation of
    all does not flip the prompt and doses above 1 were tried."""
    n_features: int
    dose: float | None
    """The smallest dose that flips, among those scored; None where none does. 0 only where the SAE's
    error term is dropped, and its reconstruction alone flips."""
    points: tuple[DosePoint, ...]
    """Every dose scored, rising: the grid, and the halvings of the step in which the prompt flips.
    Every point below `dose` refuses; where none flips, all do."""
    tolerance: float
    """Widest distance between `dose` and the point below it."""
    n_sets_scored: int

    @property
    def score(self) -> float:
        """At `dose`; where none flips, at the largest one tried."""
        return self._at_and_below[0].score

    @property
    def dose_below(self) -> float:
        """The largest scored dose below `dose`; where none flips, the largest of all; 0 below 0."""
        return self._at_and_below[1].dose

    @property
    def score_below(self) -> float:
        """At `dose_below`; >= 0, unless `dose` is 0."""
        return self._at_and_below[1].score

    @property
    def certified(self) -> bool:
        """Whether scores prove it: `dose` flips, no scored one below does, the next is near."""
        return (
            self.dose is not None
            and self.score < 0.0
            and all(point.score >= 0.0 for point in self.points if point.dose < self.dose)
            and self.dose - self.dose_below <= self.tolerance
        )

    @property
    def _at_and_below(self) -> tuple[DosePoint, DosePoint]:
        if self.dose is None:
            return self.points[-1], self.points[-1]
        (place,) = (i for i, point in enumerate(self.points) if point.dose == self.dose)
        return self.points[place], self.points[max(place - 1, 0)]


@dataclass(frozen=True, kw_only=True)
class ChanceControl:
    """Minimal sets against those that the same search finds among random candidates.

    A search keeps the best of many sets, so its null is not a random set but the same search: for
    each refused prompt, as many random features as there are candidates, in the same layers, firing
    as often. What it flips, it flips because something had to give.
    """

    flipped: Estimate
    """Share of refused prompts flipped by a set of candidates."""
    flipped_random: Estimate
    """The same by a set of random candidates, drawn anew for each prompt."""
    sizes: tuple[int, ...]
    """Features in each set of candidates that flips, rising."""
    sizes_random: tuple[int, ...]
    n_better: int
    """Prompts on which candidates do better: they alone flip it, or with fewer features."""
    n_worse: int
    """Prompts on which random candidates do; on the others the two are tied."""
    better: Estimate | None
    """Share of untied prompts on which candidates do better; None where all are tied."""
    p_value: float
    """One-sided sign test that candidates do better no more often than random ones."""
    near_zero: tuple[str, ...]
    """Refused prompts whose clean score is within `margin` of 0: small disturbances flip them."""
    margin: float
    """Nats."""


@dataclass(frozen=True, kw_only=True)
class PooledSet:
    """One set for many prompts, built on some of them and tried on others.

    Equally large sets of other origins, on the same held-out prompts, are in `Controls.pooled`.
    """

    features: tuple[Feature, ...]
    built_on: tuple[str, ...]
    held_out: tuple[str, ...]
    flipped_built: Estimate
    flipped_held_out: Estimate
    share_without: Mapping[FeatureKey, float]
    """Share of the building prompts still flipped when this one feature is spared; every value is
    below `flipped_built.value`: no feature can be spared."""
    n_sets_scored: int

    @property
    def certified(self) -> bool:
        """Whether the shares prove it: some building prompt is flipped, fewer without any one
        feature."""
        return set(self.share_without) == set(self.features) and all(
            without < self.flipped_built.value for without in self.share_without.values()
        )


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
    frozen_ratio: float | None = None
    """The same ratio with the direct effect's final norm dividing by the clean run's root mean
    square (2402.15390): what the norm's rescaling undoes counts as undone, too."""
    frozen_reason: str = "this record is older than the question"
    """Why that ratio is not stated; empty where it is."""

    @property
    def depth(self) -> int:
        return len(self.waves)


class EdgeKind(StrEnum):
    """How the ablation of one feature wakes another."""

    DIRECT = "direct"
    """By itself, with every other feature of the cascade held at its clean activations."""
    MEDIATED = "mediated"
    """By itself, but only where other features of the cascade may change: it runs through them."""
    JOINT = "joint"
    """Not by itself; but spared while all other earlier waves are ablated, it keeps the other
    asleep: it is needed together with them."""


@dataclass(frozen=True, kw_only=True)
class WakeEdge:
    """The ablation of one feature wakes another, of a later wave, as tested by intervening.

    Activations are the woken feature's largest over positions; 0: it sleeps.
    """

    cause: Feature
    feature: Feature
    """The one that wakes."""
    kind: EdgeKind
    activation: float
    """All earlier waves ablated."""
    activation_spared: float
    """The same, the cause spared. 0: the cause is necessary."""
    activation_alone: float
    """The cause alone ablated, everything else free. 0 for a direct edge: a backup masks it."""
    activation_held: float
    """The cause alone ablated, every other feature of the cascade held at its clean activations."""
    through: tuple[Feature, ...]
    """Features of the cascade that it runs through: held at their clean activations, each alone
    puts the woken feature back to sleep (mediated: the cause alone ablated; joint: all earlier
    waves). Empty where they cover for each other, and for direct edges."""
    n_controls: int
    """Features outside the cascade, of the cause's layer and firing about as strongly, that were
    ablated in the cause's place."""
    n_controls_waking: int
    """Those that wake it, too."""


@dataclass(frozen=True, kw_only=True)
class WakeEdges:
    """Which features' ablation wakes which, within one prompt's cascade."""

    prompt_id: str
    edges: tuple[WakeEdge, ...]
    n_pairs_tested: int
    """Pairs of a feature of an earlier wave and one of a later; those without an edge are neither
    enough nor needed."""
    left_out: tuple[Feature, ...]
    """Features of waves too large to be tested whole (`cascade.edge_features`)."""
    n_runs: int
    """Interventions run."""


TokenCounts = Mapping[TokenClass, int]


@dataclass(frozen=True, kw_only=True)
class Awake:
    """The dormant features that fire once the first waves are ablated."""

    n_waves: int
    """Waves ablated."""
    n_features: int
    """Dormant features, in the whole suite, that fire: those that join the next wave or not."""
    fires_at: TokenCounts
    """Their activations above zero, one for each feature and token, by the token's class."""
    peaks_at: TokenCounts
    """The features, by the class of the token of their largest activation."""
    n_random: tuple[int, ...]
    """The control: dormant features that fire once a random set is ablated, as large, of the same
    layers and firing about as strongly on this prompt; one number a set."""


@dataclass(frozen=True, kw_only=True)
class WokenFeature:
    """Where a dormant feature that joined a wave fires."""

    feature: Feature
    wave: int
    """The wave it joined; the second is the first that wakes."""
    positions: tuple[int, ...]
    """Token positions, from 0, at which it fires once the earlier waves are ablated."""
    fires_at: TokenCounts
    peak_at: TokenClass
    """Class of the token of its largest activation."""


@dataclass(frozen=True, kw_only=True)
class Waking:
    """On which tokens of one prompt features wake."""

    prompt_id: str
    tokens: TokenCounts
    """The control: the prompt's tokens (those at which ablation acts) by class."""
    clean_fires_at: TokenCounts
    """The control: activations above zero on the clean run, counted alike."""
    clean_peaks_at: TokenCounts
    awake: tuple[Awake, ...]
    """After the first wave, after the first two, and so on."""
    woken: tuple[WokenFeature, ...]


@dataclass(frozen=True, kw_only=True)
class PooledWaveFeature:
    """How often a feature is in a wave."""

    feature: Feature
    wave: int
    share: Estimate
    """Of all cascades."""


@dataclass(frozen=True, kw_only=True)
class PooledEdge:
    """How often an edge is found."""

    cause: Feature
    feature: Feature
    share: Estimate
    """Of the cascades in which the pair was tested."""
    kinds: Mapping[EdgeKind, int]


@dataclass(frozen=True, kw_only=True)
class TokenShare:
    """Where features wake, over prompts: means of the prompts' own shares."""

    n_waves: int
    """Waves ablated."""
    token: TokenClass
    peaks: Estimate
    """Share of the waking features whose largest activation is at such a token (2509.09708)."""
    fires: Estimate
    """Share of the waking features' activations above zero."""
    clean_peaks: Estimate
    """The control: the same of the features that fire on the clean run, same prompts."""
    clean_fires: Estimate
    tokens: Estimate
    """The control: share of such tokens."""


@dataclass(frozen=True, kw_only=True)
class AwakeBesideRandom:
    """How many dormant features wake, and how many wake by chance."""

    n_waves: int
    n_awake: Estimate
    """Mean number once so many waves are ablated, over the prompts that have them."""
    n_random: Estimate
    """The same once matched random sets of equal size are ablated."""
    p_value: float
    """Of the paired difference, by flipping signs."""


@dataclass(frozen=True, kw_only=True)
class PooledCascade:
    """The cascades of all flipped prompts together."""

    depth: Estimate
    """Mean number of waves."""
    depths: Mapping[int, int]
    """Prompts by number of waves."""
    features: tuple[PooledWaveFeature, ...]
    """Every feature in every wave it is in, wave by wave, the most frequent first."""
    edges: tuple[PooledEdge, ...]
    """The most frequent first."""
    edge_kinds: Mapping[EdgeKind, int]
    """Edges of each kind, over all prompts."""
    edge_control: Estimate | None
    """The control: share of the features ablated in a cause's place that wake the same feature,
    averaged by prompt; None where no edge was found or none had a match."""
    tokens: tuple[TokenShare, ...]
    awake: tuple[AwakeBesideRandom, ...]
    compensation: Estimate | None
    """Mean compensation ratio, the final norm live; over the prompts that have both ratios, None
    where none has."""
    compensation_frozen: Estimate | None
    """The same with the final norm frozen, same prompts."""
    compensation_norm: Estimate | None
    """Mean paired difference of the two: the share of the effect that the norm's rescaling undoes."""


@dataclass(frozen=True, kw_only=True)
class RaisedSet:
    """Features set up on harmless prompts to what they are on refused harmful ones."""

    name: str
    """`minimal` (each harmless prompt takes the minimal set of one flipped prompt), `pooled`, or
    `cascade` (all waves of one flipped prompt)."""
    refused: Estimate
    """Share of harmless prompts that are now refused: score above 0."""
    score_rise: Estimate
    """Mean rise of the refusal score, nats."""
    refused_random: Estimate
    """The control: a random set, matched in layers and firing rate, set up so that what it writes
    to each layer's stream is as long."""
    score_rise_random: Estimate


@dataclass(frozen=True, kw_only=True)
class Sufficiency:
    """Whether the features that refusal needs are enough to bring it about."""

    sets: tuple[RaisedSet, ...]
    """Empty where no prompt was flipped."""
    n_harmful: int
    """Refused harmful audit prompts behind the mean activations."""


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
class DoseControl:
    """The smallest doses that flip, over all prompts of one kind, and what random sets do at them."""

    ablated: str
    """`minimal_set`: the doses of flipped prompts' own sets; `candidates`: the overshoots of those
    that the whole ablation of all candidates does not flip."""
    flipped: Estimate
    """Share of these prompts that some tried dose flips; of a minimal set, all of them, since the
    whole ablation does."""
    mean: Estimate | None
    """Of the smallest doses, over the prompts that have one; None where none has."""
    median: Estimate | None
    random_flipped: Estimate | None
    """Share of the same prompts that equally large random sets, matched in layers and firing rate,
    flip at the same dose; a prompt counts by its average over them. None where no dose flips, or
    a layer has too few other features to draw from."""


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
    doses: tuple[DoseControl, ...] = ()
    """One for each kind of prompts there is; empty where doses were left out."""


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
