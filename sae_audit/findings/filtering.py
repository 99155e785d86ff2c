"""Greedy filtering over prompts, and what a factorization machine on activations adds (2509.09708)."""

from dataclasses import dataclass

from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding
from sae_audit.findings.features import Feature


@dataclass(frozen=True, kw_only=True)
class CurvePoint(Finding):
    """Flips of validation prompts by equally large sets of three origins."""

    size: int
    """Number of features of each set."""
    filtered: Estimate
    """Share flipped by the features that most prompts' filtered sets hold."""
    linear_probe: Estimate | None
    """Share flipped by those that a linear probe ranks highest; None if it ranks fewer."""
    random: Estimate | None
    """Share flipped by random sets matched in layers and firing rates; a prompt counts by its average
    over them. None if a layer has too few other features."""


@dataclass(frozen=True, kw_only=True)
class FilterCurve(Finding):
    """Flips against set size along the ranking of greedy filtering, pooled over prompts.

    The ranking comes from the prompts that the pooled set is built on, the flips are those of
    validation prompts, on which nothing of it was chosen but the direction.
    """

    built_on: tuple[str, ...]
    """Flipped building prompts, whose filtered sets make the ranking."""
    ranking: tuple[Feature, ...]
    """Every feature of these sets: the more sets hold it the earlier, then in the candidates' order."""
    points: tuple[CurvePoint, ...]
    """By rising size, the last one of all ranked features."""


@dataclass(frozen=True, kw_only=True)
class AddedFeature(Finding):
    """One feature that the machine adds."""

    feature: Feature
    contribution: float
    """Mean fall of the machine's prediction (label: +1 refused, -1 answered) over refused training
    prompts if the feature's activation is set to 0: its main effect and its pairs together."""
    main: float
    """Its main effect, label per deviation of its activation."""
    partner: Feature
    """The other feature with the largest pair weight in absolute value."""
    pair_weight: float
    """That weight, label per product of two deviations; > 0: both firing speaks for refusal beyond what
    each does alone."""


@dataclass(frozen=True, kw_only=True)
class CoactivationPair(Finding):
    """Two features and their pair weight in the machine."""

    a: Feature
    b: Feature
    weight: float
    """Label per product of two deviations: <v_a, v_b>."""


@dataclass(frozen=True, kw_only=True)
class CoactivationFit(Finding):
    """One solver's fit of refused (+1) or answered (-1) to activations, tested on validation prompts."""

    solver: str
    """`fm_bayes`, `fm_als`, or `linear`: the same without pairs."""
    rank: int
    """Rank of the factors; 0 for the linear model."""
    l2: float
    """L2 strength on the factors, chosen by cross-validation; 0 where the solver samples it."""
    r2: Estimate
    """Share of the labels' variance explained on validation prompts."""
    gain: Estimate | None
    """R2 beyond the linear model's, over the same resamples of prompts; None for the linear model."""
    agreement: float
    """Share of the added features that this solver ranks as high."""


@dataclass(frozen=True, kw_only=True)
class AddedPoint(Finding):
    """Flips of validation prompts with so many features added."""

    n_added: int
    flipped: Estimate
    """Share of refused validation prompts flipped by the filtered set and these."""


@dataclass(frozen=True, kw_only=True)
class ComparedSet(Finding):
    """Effect of one set, or of several of one origin, on held-out and on harmless audit prompts."""

    name: str
    """`filtered`: what filtering kept; `filtered_fm`: that and what the machine adds; `added_alone`: the
    latter alone; `filtered_linear`, `filtered_permuted`, `filtered_random`: the filtered set and as many
    features that the linear model ranks highest, that machines on permuted labels do, and random ones
    matched in layers and firing rates; `linear_probe`, `top_cosine`, `random_matched`: sets as large as
    `filtered_fm`, of a probe's highest, of those nearest the direction, and of matched random ones."""
    n_features: int
    """Number of features of each set."""
    flipped: Estimate
    """Share of held-out refused prompts flipped, by score; a prompt counts by its average over several
    sets."""
    score_drop: Estimate
    """Mean fall of the refusal score over these prompts, nats."""
    complied: Estimate | None
    """Share of these prompts whose answer the judge calls compliance, under the first of several sets;
    None unless flips are confirmed in text, or if no answer could be judged."""
    kl: Estimate
    """Mean KL (nats) of harmless audit prompts' next token, clean against ablated, under the first of
    several sets."""
    cross_entropy_change: Estimate
    """Mean change of the cross-entropy (nats per token) of their own clean answers, likewise."""


@dataclass(frozen=True, kw_only=True)
class CoactivationFm(Finding):
    """Features that a factorization machine on co-activations adds to the filtered set (2509.09708).

    It is trained on training prompts of both labels: each candidate's largest activation over tokens,
    in deviations from its mean, against +1 if the model refuses the prompt and -1 if it answers, by
    least squares. A classifier's likelihood has no maximum where prompts can be told apart without a
    fault, as they nearly always can; both solvers fit squares alike.
    """

    solver: str
    """Solver whose ranking is used."""
    n_refused: int
    n_answered: int
    """Numbers of training prompts by what the model does, whatever their label."""
    n_not_as_labelled: int
    """Number of these that the model does not treat as labelled."""
    n_features: int
    """Number of candidates whose activation varies over these prompts: the machine's inputs."""
    filtered: tuple[Feature, ...]
    """Every feature that greedy filtering keeps on some flipped building prompt, sorted."""
    added: tuple[AddedFeature, ...]
    """Largest contribution first; empty if `reason` says why there is no machine."""
    points: tuple[AddedPoint, ...]
    """By number of features tried; the smallest that flips most was taken."""
    fits: tuple[CoactivationFit, ...]
    """The solver of the ranking first."""
    pairs: tuple[CoactivationPair, ...]
    """The ten of largest weight in absolute value."""
    null_weight: float
    """The 95th percentile of the largest absolute pair weight of machines on permuted labels."""
    built_on: tuple[str, ...]
    """Flipped building prompts, whose filtered sets make `filtered`."""
    held_out: tuple[str, ...]
    """Refused audit prompts on which nothing was built or chosen."""
    sets: tuple[ComparedSet, ...]
    p_value: float
    """Rank of `filtered_fm` among the machines on permuted labels, by prompts flipped, ties against it;
    never below 1 / (1 + their number)."""
    n_permutations: int
    reason: str
    """Why no feature is added; else empty."""
