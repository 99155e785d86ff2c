"""The refusal direction, all that were tried for it, and what it does on audit prompts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import computed_field

from sae_audit.findings.estimates import Controlled, Estimate
from sae_audit.findings.example import Finding


@dataclass(frozen=True)
class DirectionEvaluation(Finding):
    """One candidate refusal direction and what interventions with it do (2406.11717, section 2.3)."""

    position: int
    """Template position, counted from the prompt's end: -1 is the last token."""
    layer: int
    """Layer whose `resid_post` the means were taken at."""
    bypass: float | None
    """Mean refusal score (nats) on harmful prompts, direction projected out everywhere; None for a
    candidate that the method of selection does not ask it of."""
    induce: float | None
    """Mean refusal score (nats) on harmless prompts, un-normalised direction added at `layer`; None
    as above."""
    kl: float
    """Mean KL divergence (nats) of the next-token distribution on harmless prompts, clean against
    projected out."""
    measures: Mapping[str, float] = field(default_factory=dict[str, float])
    """What else the method of selection measured, by the names in `DirectionSelection.measures`."""
    failed: tuple[str, ...] = ()
    """The filters that discard it, in words."""

    def measure(self, name: str) -> float | None:
        """The number of this name, a field or one of `measures`; None if it was not asked."""
        if name in ("bypass", "induce", "kl"):
            return getattr(self, name)
        return self.measures.get(name)


@dataclass(frozen=True, kw_only=True)
class DirectionMeasure(Finding):
    """A number that candidate directions are judged by."""

    name: str
    """Of a field of the evaluations, or of one of their `measures`."""
    title: str
    """What a reader calls it."""
    unit: str
    """Empty for a number without one."""
    higher_is_better: bool
    logarithmic: bool
    """Spread over orders of magnitude."""


@dataclass(frozen=True, kw_only=True)
class DirectionSelection(Finding):
    """How one of the candidate directions was chosen."""

    method: str
    """The setting `direction.selection`."""
    rule: str
    """What is chosen among the candidates that pass every filter."""
    source: str
    """arXiv id of the method; empty if there is none."""
    measures: tuple[DirectionMeasure, ...]
    """The numbers that evaluations hold."""
    filters: tuple[str, ...]
    """What a candidate must satisfy, with the limits in force."""
    remarks: tuple[str, ...] = ()
    """Sentences about this choice: other candidates that come near, other scores that disagree."""


class StopReason(StrEnum):
    """Why a candidate was asked about no further."""

    LAYER = "layer"
    """In the layers that are cut: it cannot be chosen."""
    NOT_FINITE = "not_finite"
    """An answer was not finite, so that its mean is not."""
    KL = "kl"
    """The KL of the prompts asked is too large for the mean of all of them to pass."""
    INDUCE = "induce"
    """The induced scores of the prompts asked are too low for the mean of all of them to pass."""
    BYPASS = "bypass"
    """Its bypass cannot be as low as that of the candidate chosen, whatever the other prompts say."""


@dataclass(frozen=True, kw_only=True)
class StoppedDirection(Finding):
    """A candidate that was asked about until it could not be chosen any more.

    Its numbers are means over the first prompts alone, in the order of the split, and are not to be
    held against those of other candidates; None where no prompt was asked.
    """

    position: int
    layer: int
    bypass: float | None
    n_bypass: int
    """Harmful prompts asked."""
    induce: float | None
    n_induce: int
    kl: float | None
    n_kl: int
    reason: StopReason


@dataclass(frozen=True, kw_only=True)
class Direction(Finding):
    """The refusal direction, chosen on validation prompts."""

    method: str
    """The setting `direction.estimator`: how candidates were made."""
    selection: DirectionSelection
    selected: DirectionEvaluation
    """Its bypass and induce are known, whatever the method of selection asks of others."""
    evaluations: tuple[DirectionEvaluation, ...]
    """Candidates whose numbers are over all validation prompts."""
    vector: tuple[float, ...]
    """As the estimator made it at the selected place, not normalised, `[d_model]`."""
    clean_harmful: float
    """Mean refusal score of the unablated model on the same harmful validation prompts, nats."""
    clean_harmless: float
    """The same on the harmless validation prompts."""
    n_train: tuple[int, int]
    """Harmful and harmless prompts behind the means."""
    n_validation: tuple[int, int]
    """Harmful and harmless prompts behind bypass, induce and KL."""
    stopped: tuple[StoppedDirection, ...] = ()
    """All other candidates. Asked to the end, none of them would have been chosen."""

    @computed_field
    @property
    def layer(self) -> int:
        return self.selected.layer

    @computed_field
    @property
    def position(self) -> int:
        return self.selected.position

    @computed_field
    @property
    def bypass(self) -> float:
        assert self.selected.bypass is not None, "asked of the chosen direction"
        return self.selected.bypass

    @computed_field
    @property
    def induce(self) -> float:
        assert self.selected.induce is not None, "asked of the chosen direction"
        return self.selected.induce

    @computed_field
    @property
    def kl(self) -> float:
        return self.selected.kl

    @property
    def n_tried(self) -> int:
        """Candidates, one a layer and template position."""
        return len(self.evaluations) + len(self.stopped)


@dataclass(frozen=True, kw_only=True)
class DirectionCheck(Finding):
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
    their labels permuted. A difference made of chance is not at 0: of many dimensions about .7."""


@dataclass(frozen=True, kw_only=True)
class NearestDirection(Finding):
    """What stands in a direction's place where none passes the filters."""

    evaluation: DirectionEvaluation | None
    """The candidate that fails fewest filters, of those the best by the method of selection; None if
    every candidate has a number that is not finite."""
    failed: tuple[str, ...]
    """The filters it fails, with its numbers."""
    reason: str
    """Why no candidate was chosen, with the numbers that come nearest."""


@dataclass(frozen=True, kw_only=True)
class NoDirection(Finding):
    """Every candidate direction was tried, and none passes the filters."""

    method: str
    """The setting `direction.estimator`: how candidates were made."""
    selection: DirectionSelection
    nearest: NearestDirection
    evaluations: tuple[DirectionEvaluation, ...]
    """Candidates whose numbers are over all validation prompts. Chosen by bypass: the nearest, those
    of the lowest KL and the highest induced score, and of the layers that are not cut all that no
    other one beats in both bypass and KL."""
    clean_harmful: float
    """Mean refusal score of the unablated model on the same harmful validation prompts, nats."""
    clean_harmless: float
    n_train: tuple[int, int]
    """Harmful and harmless prompts behind the means."""
    n_validation: tuple[int, int]
    """Harmful and harmless prompts behind bypass, induce and KL."""
    stopped: tuple[StoppedDirection, ...] = ()
    """All other candidates."""

    @property
    def n_tried(self) -> int:
        return len(self.evaluations) + len(self.stopped)
