"""What a comparison decides by its limits; differences are variant minus parent."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from sae_audit.findings import Estimate, Feature

LEVEL = 0.05
"""Largest share of comparisons of checkpoints that break no limit in which one is called broken."""


class Outcome(StrEnum):
    FAILS = "fails"
    """The limit is broken beyond doubt."""
    CANNOT_TELL = "cannot tell"
    WITHIN = "within"
    """The whole interval lies within the limit."""


class Measure(StrEnum):
    """What a limit is on."""

    REFUSAL_RATE = "refusal_rate"
    """Share of harmful prompts refused."""
    OVER_REFUSAL = "over_refusal"
    """Share of safe look-alikes refused where both were scored on them, else of harmless prompts."""
    ANY_TOPIC = "any_topic"
    """Topics of harmful prompts that the parent refuses whole and the variant not at all."""
    MINIMAL_SET_SIZE = "minimal_set_size"
    """Features whose ablation flips a prompt, over prompts flipped in both, whatever the scores."""
    CASCADE_DEPTH = "cascade_depth"
    """Waves, over prompts with a cascade in both, whatever the scores."""
    DIRECTIONS_NEEDED = "directions_needed"
    """Directions that must be projected out until a prompt is not refused, whatever the scores."""
    DIRECTION_COSINE = "direction_cosine"
    """Cosine of both checkpoints' differences of means at the layer chosen in the parent."""


Way = Literal["drops", "rises", "below", "lost"]
"""How a limit is broken: a change one way, a value below it, a topic lost."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One rule of what is bearable; `str` writes it as it is given on the command line."""

    measure: Measure
    way: Way
    value: float | None
    """Largest bearable change, or smallest bearable value; None of topics. Shares are of 1."""

    def __str__(self) -> str:
        match self.way:
            case "lost":
                return f"{self.measure} lost"
            case "below":
                return f"{self.measure} < {self.value:g}"
            case _:
                return f"{self.measure} {self.way} > {self.value:g}"


@dataclass(frozen=True, kw_only=True)
class LimitResult:
    """One limit and what the two runs say of it."""

    limit: Limit
    outcome: Outcome
    before: float | None
    """The parent's value: a share, or a mean over the prompts compared; None if there is none."""
    after: float | None
    n: int
    """Number of prompts, topics or training prompts behind it; 0 if it was not measured."""
    change: Estimate | None
    """Variant minus parent, or the cosine, with its 95% interval, by which a limit counts as kept; None
    of topics, or if it was not measured."""
    strict: Estimate | None
    """The same with the wider interval by which a limit counts as broken, where several are tested."""
    n_needed: int | None
    """Prompts of each label with which it could be decided if everything else stayed as it is: audit
    prompts, of `any_topic` prompts of the topic, of the cosine training prompts. None if it is decided,
    or no number would do."""
    statement: str
    """The result in a sentence."""
    label: str = ""
    """Label of the prompts that a share is of; empty of other measures."""


@dataclass(frozen=True, kw_only=True)
class Described:
    """One measure of both checkpoints, whether or not there is a limit on it."""

    measure: Measure
    before: float | None
    """The parent's share or mean; None of the cosine."""
    after: float | None
    change: Estimate
    """Variant minus parent, or the cosine."""
    label: str = ""
    """As of a `LimitResult`."""


@dataclass(frozen=True, kw_only=True)
class Topic:
    """Harmful audit prompts of one topic."""

    name: str
    """Empty if the prompts name no topic: then all of them."""
    kept: int
    """Refused by both."""
    lost: int
    """Refused by the parent alone."""
    gained: int
    """Refused by the variant alone."""
    answered: int
    """Refused by neither."""
    decides: bool
    """Whether it has prompts enough for its loss to decide (`Decision.deciding_topic_size`)."""

    @property
    def n(self) -> int:
        return self.kept + self.lost + self.gained + self.answered

    @property
    def before(self) -> int:
        return self.kept + self.lost

    @property
    def after(self) -> int:
        return self.kept + self.gained

    @property
    def is_lost(self) -> bool:
        """Whether refusal fell from all prompts to none."""
        return self.lost == self.n


@dataclass(frozen=True, kw_only=True)
class InItsPlace:
    """A feature that is new in sets that lost another one."""

    feature: Feature
    n: int
    """Prompts whose set lost the other and gained it."""


@dataclass(frozen=True, kw_only=True)
class FeatureRole:
    """What one feature is to either checkpoint, in minimal sets over the prompts flipped in both."""

    feature: Feature
    n: int
    """Prompts flipped in both."""
    before: int
    """Prompts whose minimal set holds it in the parent."""
    after: int
    """The same in the variant."""
    alone_before: int
    """Prompts whose minimal set it is, with no other feature."""
    alone_after: int
    ends_before: Estimate | None
    """Share of the parent's refused prompts that ablating it alone flips; None if not measured."""
    ends_after: Estimate | None
    """The same of the variant's."""
    fires_before: Estimate | None
    """Share of harmful audit prompts on which it fires in the parent; None if not measured."""
    fires_after: Estimate | None
    """The same in the variant."""
    in_its_place: tuple[InItsPlace, ...]
    """Features that are new in the sets of the prompts that lost it, most prompts first."""

    @property
    def sentence(self) -> str:
        """What became of it: `L2/554 was in the sets of 24 of 24 prompts, and is in none.`"""
        before, after = f"{self.before} of {self.n}", f"{self.after} of {self.n}"
        if self.before == self.after:
            return f"{self.feature} is in the sets of {before} prompts, as before."
        if not self.after:
            said = f"{self.feature} was in the sets of {before} prompts, and is in none now"
        elif not self.before:
            said = f"{self.feature} was in no set, and is in those of {after} prompts now"
        else:
            said = f"{self.feature} was in the sets of {before} prompts, and is in those of {after}"
        if not self.in_its_place:
            return f"{said}."
        most = self.in_its_place[0]
        prompts = f"{most.n} prompt{'s' * (most.n > 1)}"
        return f"{said}; most often {most.feature} is new in its place ({prompts})."


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The limits, what became of each, and the exit code that follows."""

    outcome: Outcome
    """`fails` if any limit does; `within` if all are kept; else `cannot tell`."""
    limits: tuple[LimitResult, ...]
    measures: tuple[Described, ...]
    """All that can be measured in both runs."""
    undecided: Literal["fail", "pass"]
    """Whether `cannot tell` has an exit code of its own or counts as kept."""
    level: float
    """Largest share of comparisons that fail though no limit is broken (`LEVEL`)."""
    topics: tuple[Topic, ...]
    """Most prompts lost first."""
    deciding_topic_size: int
    """Prompts from which on the loss of a whole topic decides, among topics of these sizes."""
    roles: tuple[FeatureRole, ...]
    """Features by the change in the number of minimal sets that hold them, largest first."""

    @property
    def exit_code(self) -> int:
        """1 if a limit is broken beyond doubt, 4 if it cannot be told, 0 if all are kept."""
        if self.outcome is Outcome.FAILS:
            return BROKEN
        is_open = self.outcome is Outcome.CANNOT_TELL and self.undecided == "fail"
        return UNDECIDED if is_open else 0


BROKEN, UNDECIDED = 1, 4
"""Exit codes of `sae-audit compare`."""
