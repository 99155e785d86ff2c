"""When single candidates fire, and what ablating each alone changes on harmless prompts."""

from dataclasses import dataclass

from sae_audit.findings.example import Finding
from sae_audit.findings.features import Feature


@dataclass(frozen=True, kw_only=True)
class CandidateEffect(Finding):
    """One candidate: how often it fires, and its effect on harmless prompts when ablated alone."""

    feature: Feature
    fires_on_harmful: float
    """Share of all tokens of harmful training prompts on which it fires."""
    fires_on_harmless: float
    """The same of harmless training prompts."""
    last_token_harmful: float
    """Mean activation at the last token of harmful training prompts."""
    last_token_harmless: float
    """The same of harmless training prompts."""
    kl: float
    """Mean KL (nats) of the next token on harmless prompts with the feature set to the clamp."""
    first_tokens_changed: float
    """Share of these prompts whose likeliest first token becomes one that was less than half as likely
    as it."""
    kl_at_other_clamp: float
    """The same KL with the other clamp: the feature's harmless mean if features are set to a number,
    and 0 if they are set to their harmless mean. A feature that is never 0 differs most."""


@dataclass(frozen=True, kw_only=True)
class CandidateEffects(Finding):
    """The candidates one by one, on harmless prompts that no set was searched on."""

    effects: tuple[CandidateEffect, ...]
    """In the order of the candidates."""
    n_harmless: int
    """Number of harmless prompts behind `kl` and `first_tokens_changed`."""
    clamp: str
    """What ablated features are set to (`clamp`): a number or `harmless_mean`."""
    kl_limit: float
    """Limit of the mean KL of a set (`side_effects.kl_limit`)."""
    beyond_alone: tuple[Feature, ...]
    """Candidates that no set within the limits can hold: each alone is beyond them. Sorted."""
