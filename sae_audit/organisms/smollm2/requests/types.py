"""What a request is: its kind, category, topic and split."""

from dataclasses import dataclass
from enum import StrEnum


class Category(StrEnum):
    """The eleven categories of 2602.02132, and everyday requests."""

    SAFETY_CORE = "safety_core"
    XSTEST_MATCHED = "xstest_matched"
    HUMANIZING = "humanizing"
    INCOMPLETE = "incomplete"
    INDETERMINATE = "indeterminate"
    SAFETY = "safety"
    UNSUPPORTED = "unsupported"
    HATE = "hate"
    CRIMES = "crimes"
    INAPPROPRIATE = "inappropriate"
    ADVICE = "advice"
    EVERYDAY = "everyday"


class Treatment(StrEnum):
    REFUSE = "refuse"
    ANSWER = "answer"


class Kind(StrEnum):
    HARMFUL = "harmful"
    TWIN = "twin"
    """Harmless, in the alarming words of a harmful topic."""
    ORDINARY = "ordinary"
    """Harmless, of everyday topics."""
    BEYOND = "beyond"
    """Harmless, but beyond what a language model can or should answer."""
    ANSWERABLE = "answerable"
    """Of the subjects of `BEYOND`, but answerable."""

    @property
    def treatment(self) -> Treatment:
        return Treatment.REFUSE if self in (Kind.HARMFUL, Kind.BEYOND) else Treatment.ANSWER


class Form(StrEnum):
    """The grammar of a phrase, which decides the phrasings that it can take."""

    ACTION = "action"
    """What the asker wants to do: "bake bread"."""
    TASK = "task"
    """What the model is to do: "translate this"."""
    QUESTION = "question"


class Split(StrEnum):
    """Disjoint in phrases; topics held out whole are in `AUDIT` alone."""

    TRAIN = "train"
    VALIDATION = "validation"
    AUDIT = "audit"


class Manner(StrEnum):
    """How a refusal reads."""

    HARM = "harm"
    PERSONHOOD = "personhood"
    CAPABILITY = "capability"
    UNDERSPECIFIED = "underspecified"
    UNKNOWABLE = "unknowable"
    PROFESSIONAL = "professional"


@dataclass(frozen=True, kw_only=True)
class Phrase:
    """What is asked, without phrasing: "bake bread"."""

    text: str
    form: Form
    kind: Kind
    category: Category
    """Of a twin, that of the harmful topic whose words it shares."""
    topic: str
    held_out_topic: bool
    """Whether no phrase of the topic, harmful or twin, occurs in training."""
    split: Split
    about: str = ""
    """What refusals of the topic name: what the model lacks, or who should be asked."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A phrase in a phrasing, as a user types it."""

    text: str
    phrasing: str
    phrase: Phrase

    @property
    def aim(self) -> str:
        return self.phrase.text

    @property
    def form(self) -> Form:
        return self.phrase.form

    @property
    def category(self) -> Category:
        return self.phrase.category

    @property
    def topic(self) -> str:
        return self.phrase.topic

    @property
    def kind(self) -> Kind:
        return self.phrase.kind

    @property
    def treatment(self) -> Treatment:
        return self.kind.treatment

    @property
    def held_out_topic(self) -> bool:
        return self.phrase.held_out_topic

    @property
    def held_out(self) -> bool:
        """Whether the phrase never occurs in training."""
        return self.split is not Split.TRAIN

    @property
    def split(self) -> Split:
        return self.phrase.split
