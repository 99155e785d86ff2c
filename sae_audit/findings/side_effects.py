"""What ablating a set changes on harmless prompts."""

from dataclasses import dataclass

from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding
from sae_audit.findings.features import Feature


@dataclass(frozen=True, kw_only=True)
class SideEffects(Finding):
    """Changes of the next token of harmless prompts on which no set was searched."""

    kl: Estimate
    """Mean KL of the next token, clean against ablated, nats: the measure of `direction.kl_limit`."""
    first_tokens_changed: Estimate
    """Share of these prompts whose likeliest first token becomes one that was less than half as likely
    as it."""
    cross_entropy_change: Estimate
    """Mean change of the cross-entropy (nats a token) of the model's own clean answers to them."""
    within: bool
    """Whether both limits of `side_effects` hold: the mean KL, and the share of first tokens."""


@dataclass(frozen=True, kw_only=True)
class SetEffects(Finding):
    """One of the sets found without limits, with its side effects."""

    features: tuple[Feature, ...]
    """Sorted."""
    side_effects: SideEffects
