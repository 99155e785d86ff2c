"""Successive refusal directions, and the refusal left once they are projected out."""

from collections import Counter
from dataclasses import dataclass

from pydantic import computed_field

from sae_audit.findings.estimates import Controlled, Estimate
from sae_audit.findings.example import Finding


@dataclass(frozen=True, kw_only=True)
class DirectionOut(Finding):
    """One refusal direction, and what is left with it and all earlier ones projected out.

    On audit prompts: harmful ones that the clean model refuses, harmless ones that it answers.
    """

    layer: int
    position: int
    """Where it was found, with all earlier ones out; template position, -1 is the last token."""
    n_train: tuple[int, int]
    """Numbers of harmful and harmless training prompts behind its means, still treated as labelled."""
    refused: Controlled
    """Share of harmful prompts still refused; control: as many random directions projected out."""
    score: Controlled
    """Mean refusal score of harmful prompts, nats."""
    answered: Controlled
    """Share of harmless prompts still answered; same control."""
    kl: Controlled
    """Mean KL (nats) of the next token on harmless prompts, clean model against directions out."""


@dataclass(frozen=True, kw_only=True)
class SuccessiveDirections(Finding):
    """Refusal directions found one after another, each with all earlier ones projected out."""

    directions: tuple[DirectionOut, ...]
    """The refusal direction itself first; their vectors are tensors of the run."""
    needed: dict[str, int]
    """For each prompt, the smallest number of directions whose removal stops refusal; `len(directions)
    + 1` if removing all of them does not."""
    depth: Estimate
    """Mean of `needed` over prompts."""
    stop: str
    """Why the search for further directions ended."""

    @computed_field
    @property
    def n_beyond(self) -> int:
        """Number of prompts refused with all projected out; above 0, `depth` is a lower bound."""
        return sum(n > len(self.directions) for n in self.needed.values())

    @property
    def depths(self) -> dict[int, int]:
        """Number of prompts by how many directions they need."""
        return dict(sorted(Counter(self.needed.values()).items()))
