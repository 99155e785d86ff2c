"""Whether the features that refusal needs are enough to bring it about."""

from dataclasses import dataclass

from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding


@dataclass(frozen=True, kw_only=True)
class RaisedSet(Finding):
    """Features set up on harmless prompts to what they are on refused harmful ones."""

    name: str
    """`minimal` (each harmless prompt takes the minimal set of one flipped prompt), `pooled`, or
    `cascade` (all waves of one flipped prompt)."""
    refused: Estimate
    """Share of harmless prompts that are now refused: score above 0."""
    score_rise: Estimate
    """Mean rise of the refusal score, nats."""
    refused_random: Estimate
    """The control: a random set, matched in layers and firing rate, set up so that what it writes
    to each layer's stream is as long."""
    score_rise_random: Estimate


@dataclass(frozen=True, kw_only=True)
class Sufficiency(Finding):
    """Whether the features that refusal needs are enough to bring it about."""

    sets: tuple[RaisedSet, ...]
    """Empty where no prompt was flipped."""
    n_harmful: int
    """Refused harmful audit prompts behind the mean activations."""
