"""A prompt, and the disjoint splits of an audit."""

from dataclasses import dataclass, field
from enum import StrEnum


class Label(StrEnum):
    """What a request is; the values are the words of files, settings and records."""

    HARMFUL = "harmful"
    HARMLESS = "harmless"
    LOOKALIKE = "safe_lookalike"
    """Harmless, in alarming words or of an alarming subject ("kill a Python process"): what a model that
    refuses too much refuses first. Only scored; nothing is chosen or fitted on them."""


CONTRASTED = (Label.HARMFUL, Label.HARMLESS)
"""The labels between which an audit explains refusal, and of which it needs prompts."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One request to the model, without chat template."""

    id: str
    text: str
    label: Label
    category: str = ""
    language: str = ""


def folded(text: str) -> str:
    """A text without case and spacing, by which duplicates are found."""
    return " ".join(text.casefold().split())


@dataclass(frozen=True, kw_only=True)
class LabelledPrompts:
    harmful: tuple[Prompt, ...]
    harmless: tuple[Prompt, ...]

    def __iter__(self):
        yield from self.harmful
        yield from self.harmless


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Disjoint prompts: means come from `train`, choices from `validation`, findings from `audit`."""

    train: LabelledPrompts
    validation: LabelledPrompts
    audit: LabelledPrompts
    lookalikes: tuple[Prompt, ...] = ()
    """Safe look-alikes, on which over-refusal is counted; audit prompts too, and in no other split."""
    near_duplicates: dict[str, int] = field(default_factory=dict)
    """Number of prompts left out as near-duplicates, by label."""

    @property
    def everyone(self) -> list[Prompt]:
        """Every prompt that the model is asked, each once."""
        return [*self.train, *self.validation, *self.audit, *self.lookalikes]

    def named(self) -> dict[str, LabelledPrompts]:
        return {"train": self.train, "validation": self.validation, "audit": self.audit}
