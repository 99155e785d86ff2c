"""Whether the features that refusal needs are enough to cause it."""

from dataclasses import dataclass

from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding


@dataclass(frozen=True, kw_only=True)
class RaisedSet(Finding):
    """Effect of setting features, on harmless prompts, to their mean on refused harmful ones."""

    name: str
    """`minimal` (each harmless prompt takes the minimal set of one flipped prompt), `pooled`, or
    `cascade` (all waves of one flipped prompt)."""
    refused: Estimate
    """Share of harmless prompts then refused: score above 0."""
    score_rise: Estimate
    """Mean rise of the refusal score, nats."""
    refused_random: Estimate
    """Control: a random set, matched in layers and firing rate, set so that it writes a vector as long
    to each layer's residual stream."""
    score_rise_random: Estimate
    """Control of `score_rise`: the same random set."""


@dataclass(frozen=True, kw_only=True)
class Sufficiency(Finding):
    """Whether the features that refusal needs are enough to cause it."""

    sets: tuple[RaisedSet, ...]
    """Empty if no prompt was flipped."""
    n_harmful: int
    """Number of refused harmful audit prompts behind the mean activations."""
