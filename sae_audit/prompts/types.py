"""A prompt, and the disjoint splits of an audit."""

from dataclasses import dataclass, field
from enum import StrEnum


class Label(StrEnum):
    HARMFUL = "harmful"
    HARMLESS = "harmless"


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
    near_duplicates: dict[str, int] = field(default_factory=dict)
    """Number of prompts left out as near-duplicates, by label."""

    def named(self) -> dict[str, LabelledPrompts]:
        return {"train": self.train, "validation": self.validation, "audit": self.audit}
