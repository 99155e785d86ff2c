"""The refusal direction, all candidates for it, and its effects on audit prompts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import computed_field

from sae_audit.findings.estimates import Controlled, Estimate
from sae_audit.findings.example import Finding


@dataclass(frozen=True)
class DirectionEvaluation(Finding):
    """One candidate refusal direction and the effects of interventions with it (2406.11717, section
    2.3)."""

    position: int
    """Template position, counted from the prompt's end: -1 is the last token."""
    layer: int
    """Layer whose `resid_post` gave the means."""
    bypass: float | None
    """Mean refusal score (nats) on harmful prompts, direction projected out everywhere; None if the
    method of selection does not measure it for this candidate."""
    induce: float | None
    """Mean refusal score (nats) on harmless prompts, un-normalised direction added at `layer`; None if
    the method of selection does not measure it for this candidate."""
    kl: float
    """Mean KL (nats) of the next token on harmless prompts, clean against projected out."""
    measures: Mapping[str, float] = field(default_factory=dict[str, float])
    """Further numbers of the method of selection, by the names in `DirectionSelection.measures`."""
    failed: tuple[str, ...] = ()
    """Filters that the candidate does not pass, in words."""

    def measure(self, name: str) -> float | None:
        """The number of this name, a field or one of `measures`; None if it was not measured."""
        if name in ("bypass", "induce", "kl"):
            return getattr(self, name)
        return self.measures.get(name)


@dataclass(frozen=True, kw_only=True)
class DirectionMeasure(Finding):
    """A number by which candidate directions are judged."""

    name: str
    """Name of a field of the evaluations, or of one of their `measures`."""
    title: str
    """Name shown to readers."""
    unit: str
    """Unit; empty if the number has none."""
    higher_is_better: bool
    logarithmic: bool
    """Whether values spread over orders of magnitude."""


@dataclass(frozen=True, kw_only=True)
class DirectionSelection(Finding):
    """How the refusal direction was chosen among the candidates."""

    method: str
    """The setting `direction.selection`."""
    rule: str
    """Rule that picks one of the candidates that pass every filter."""
    source: str
    """arXiv id of the method; empty if there is none."""
    measures: tuple[DirectionMeasure, ...]
    """Numbers that the evaluations hold."""
    filters: tuple[str, ...]
    """Conditions that a candidate must satisfy, with the limits in force."""
    remarks: tuple[str, ...] = ()
    """Sentences about this choice: near-equal candidates, other scores that disagree."""


class StopReason(StrEnum):
    """Why a candidate was measured no further."""

    LAYER = "layer"
    """It is in the layers that are cut and cannot be chosen."""
    NOT_FINITE = "not_finite"
    """One of its values is not finite, so neither is the mean."""
    KL = "kl"
    """The KL on the prompts measured is too large for the mean over all prompts to pass."""
    INDUCE = "induce"
    """The induced scores on the prompts measured are too low for the mean over all prompts to pass."""
    BYPASS = "bypass"
    """Its bypass cannot be as low as the chosen candidate's, whatever the other prompts give."""


@dataclass(frozen=True, kw_only=True)
class StoppedDirection(Finding):
    """A candidate measured until it could no longer be chosen.

    Its numbers are means over the first prompts of the split alone, so they are not comparable with
    those of other candidates; None if no prompt was measured.
    """

    position: int
    layer: int
    bypass: float | None
    """Mean refusal score (nats) on harmful prompts, direction projected out everywhere."""
    n_bypass: int
    """Number of harmful prompts behind `bypass`."""
    induce: float | None
    """Mean refusal score (nats) on harmless prompts, direction added at its layer."""
    n_induce: int
    """Number of harmless prompts behind `induce`."""
    kl: float | None
    """Mean KL (nats) of the next token on harmless prompts, clean against projected out."""
    n_kl: int
    """Number of harmless prompts behind `kl`."""
    reason: StopReason


@dataclass(frozen=True, kw_only=True)
class Direction(Finding):
    """The refusal direction, chosen on validation prompts.

    If no candidate passes every filter, it is the best of them all the same, and `breaks` is not empty:
    the lowest bypass (by other methods of selection: the first in their order) of those that pass every
    filter but the limit of KL; if there is none, of those outside the cut layers; else of all.
    """

    method: str
    """The setting `direction.estimator`: how candidates were made."""
    selection: DirectionSelection
    selected: DirectionEvaluation
    """The chosen candidate; its bypass and induce are always measured."""
    breaks: tuple[str, ...]
    """The limits that it breaks, each with its number beside the limit; empty if it removes refusal
    cleanly, which is to pass every filter."""
    unclean: str
    """That no direction removes refusal cleanly, with what the best one costs and how near the others
    came; empty if it does."""
    without_kl_limit: DirectionEvaluation | None
    """The candidate that would be chosen if there were no limit of KL, so what the limit costs; None if
    no candidate passes the other filters."""
    removed: Estimate | None
    """Share of the mean refusal score of harmful validation prompts that projecting it out takes away,
    `1 - bypass / clean`: 1 takes it to the threshold. On the prompts it was chosen on, so it flatters.
    None if the mean is not above 0."""
    weak: bool
    """Whether `removed` is below `direction.weak_below`: it passes the filters (or not) and removes next
    to nothing. Features are then ranked by estimated effect, as if it were not clean."""
    evaluations: tuple[DirectionEvaluation, ...]
    """Candidates measured on all validation prompts. If chosen by bypass and none passes every filter:
    among others, outside the layers that are cut, those of the lowest KL and of the lowest KL at which
    the mean score of harmful prompts falls below 0."""
    vector: tuple[float, ...]
    """The direction as estimated, not normalised, `[d_model]`."""
    clean_harmful: float
    """Mean refusal score (nats) of the clean model on the same harmful validation prompts."""
    clean_harmless: float
    """The same on the harmless validation prompts."""
    n_train: tuple[int, int]
    """Numbers of harmful and harmless training prompts behind the means."""
    n_validation: tuple[int, int]
    """Numbers of harmful and harmless validation prompts behind bypass, induce and KL."""
    stopped: tuple[StoppedDirection, ...] = ()
    """All other candidates; measured to the end, none of them would have been chosen."""

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

    @computed_field
    @property
    def clean(self) -> bool:
        """Whether it removes refusal cleanly: it passes every filter."""
        return not self.breaks

    @property
    def n_tried(self) -> int:
        """Number of candidates, one per layer and template position."""
        return len(self.evaluations) + len(self.stopped)


@dataclass(frozen=True, kw_only=True)
class DirectionCheck(Finding):
    """Effects of the chosen direction on audit prompts, compared with random directions.

    Harmful prompts are those refused, harmless ones those answered, as in the choice itself.
    """

    clean_harmful: Estimate
    """Mean refusal score (nats) of the clean model on the same harmful prompts."""
    clean_harmless: Estimate
    """The same on the harmless prompts."""
    bypass: Controlled
    """Mean refusal score of harmful prompts, direction projected out everywhere, nats."""
    removed: Controlled | None
    """Share of the mean score of harmful prompts that is then gone, `1 - bypass / clean`: 1 takes it to
    the threshold, more beyond. None if the interval of the clean mean reaches 0, as that of fewer than
    five prompts does."""
    flipped: Controlled
    """Share of harmful prompts whose score is then below 0."""
    induce: Controlled
    """Mean refusal score of harmless prompts, direction added at its layer, nats."""
    induced: Controlled
    """Share of harmless prompts whose score is then above 0."""
    answered: Controlled
    """Share of harmless prompts still answered with the direction projected out."""
    kl: Controlled
    """Mean KL (nats) of the next token on harmless prompts, clean against projected out."""
    stability: Controlled
    """Mean cosine of the direction with those of resampled training prompts (2602.02132), and the
    range of 95% of these cosines, which is no confidence interval. Control: the same with the
    prompts' labels permuted, which in many dimensions gives about 0.7, not 0."""


@dataclass(frozen=True, kw_only=True)
class NoDirection(Finding):
    """The finding that there is no direction at all: every candidate is zero or not finite."""

    method: str
    """The setting `direction.estimator`: how candidates were made."""
    selection: DirectionSelection
    reason: str
    """Why, in words."""
    evaluations: tuple[DirectionEvaluation, ...]
    """Candidates measured on all validation prompts; each has a mean that is not finite."""
    clean_harmful: float
    """Mean refusal score (nats) of the clean model on the same harmful validation prompts."""
    clean_harmless: float
    """The same on the harmless validation prompts."""
    n_train: tuple[int, int]
    """Numbers of harmful and harmless training prompts behind the means."""
    n_validation: tuple[int, int]
    """Numbers of harmful and harmless validation prompts behind bypass, induce and KL."""
    stopped: tuple[StoppedDirection, ...] = ()
    """All other candidates."""

    @property
    def n_tried(self) -> int:
        return len(self.evaluations) + len(self.stopped)
