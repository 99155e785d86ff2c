"""Parts of the first screen."""

from dataclasses import dataclass

from sae_audit.comparison.decided import Measure, Outcome
from sae_audit.comparison.limits.sentences import MARKS

_TONES = {Outcome.FAILS: "bad", Outcome.CANNOT_TELL: "open", Outcome.WITHIN: "good"}


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A result as sign, word and tone; the tone is a colour of the page and never stands alone."""

    sign: str
    word: str
    tone: str
    """`bad`, `look`, `good` or `open`."""


@dataclass(frozen=True, kw_only=True)
class CheckRow:
    """One thing that a reader decides by."""

    name: str
    short: str
    """The name in a terminal."""
    before: str
    after: str
    change: str
    mark: Mark
    note: str
    measure: Measure | None = None
    """None of what no limit can be on."""
    brief: str = ""
    """`change` in a terminal; empty if that is short enough."""


@dataclass(frozen=True, kw_only=True)
class TopicRow:
    """Refusals of one topic; a box for each prompt."""

    name: str
    before: str
    after: str
    boxes: tuple[str, ...]
    """`kept`, `gained`, `lost` or `answered` for each prompt."""
    said: str
    """The boxes in words."""
    lost: bool
    """Whether any refusal was lost."""
    is_whole: bool
    """Whether all were, of a topic refused whole."""


@dataclass(frozen=True, kw_only=True)
class FirstScreen:
    title: str
    mark: Mark
    verdict: str
    said: tuple[str, ...]
    """Why, in sentences."""
    rows: tuple[CheckRow, ...]
    topics: tuple[TopicRow, ...]
    rule: str
    """When the loss of a topic decides."""
    features: tuple[str, ...]
    """Features that hold refusal, lost and gained, by name."""
    steps: tuple[str, ...]
    """What to do next."""
    limits: str
    """The limits, and the level of the verdict."""


def mark_of(outcome: Outcome, word: str = "") -> Mark:
    """The result of a limit, or of all of them."""
    return Mark(sign=MARKS[outcome], word=word or outcome.value, tone=_TONES[outcome])
