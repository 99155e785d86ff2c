"""Refusal directions behind one another, and what is left with them out."""

from collections import Counter
from dataclasses import dataclass

from pydantic import computed_field

from sae_audit.findings.estimates import Controlled, Estimate
from sae_audit.findings.example import Finding


@dataclass(frozen=True, kw_only=True)
class DirectionOut(Finding):
    """A refusal direction, and what is left with it and all before it out of the stream.

    On audit prompts: harmful ones refused and harmless ones answered by the whole model.
    """

    layer: int
    position: int
    """Where it was found, with all before it out; template position, -1 is the last token."""
    n_train: tuple[int, int]
    """Harmful and harmless training prompts behind its means: those still treated as labelled."""
    refused: Controlled
    """Share of harmful prompts still refused; control: as many random directions out."""
    score: Controlled
    """Mean refusal score of harmful prompts, nats."""
    answered: Controlled
    """Share of harmless prompts still answered; control: as many random directions out."""
    kl: Controlled
    """Mean KL of the next token on harmless prompts, whole model against directions out, nats."""


@dataclass(frozen=True, kw_only=True)
class SuccessiveDirections(Finding):
    """Refusal directions one behind the other, each found with all before it out of the stream."""

    directions: tuple[DirectionOut, ...]
    """The refusal direction itself first; their vectors are tensors of the run."""
    needed: dict[str, int]
    """By prompt, how many of them are out when it is first not refused; one more than there are for
    a prompt that is refused with all of them out."""
    depth: Estimate
    """Mean of `needed`."""
    stop: str
    """Why no further direction was looked for."""

    @computed_field
    @property
    def n_beyond(self) -> int:
        """Prompts refused with all of them out: where there are any, `depth` is a lower bound."""
        return sum(n > len(self.directions) for n in self.needed.values())

    @property
    def depths(self) -> dict[int, int]:
        """Prompts by the number that they need."""
        return dict(sorted(Counter(self.needed.values()).items()))
