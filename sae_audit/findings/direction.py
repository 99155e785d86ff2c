"""The refusal direction, all that were tried for it, and what it does on audit prompts."""

from dataclasses import dataclass

from sae_audit.findings.estimates import Controlled, Estimate


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
    answered: Controlled
    """Share of harmless prompts still answered when it is projected out."""
    kl: Controlled
    """Mean KL of the next token on harmless prompts, clean against projected out, nats."""
    stability: Controlled
    """Mean cosine of the direction with those of resampled training prompts (2602.02132), and the
    central 95% of these cosines; beside it the same of directions between the same prompts with
    their labels dealt anew. A difference made of chance is not at 0: of many dimensions about .7."""


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
