"""How the clean model treats the prompts: scores, refusal rates and separation."""

from dataclasses import dataclass

from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding


@dataclass(frozen=True, kw_only=True)
class PromptScore(Finding):
    """Refusal score of one prompt on the clean run."""

    prompt_id: str
    split: str
    """`train`, `validation` or `audit`."""
    label: str
    """`harmful`, `harmless` or, in the audit split only, `safe_lookalike`."""
    category: str
    score: float
    """Refusal score of the clean run, nats of log-odds; > 0 refuses."""


@dataclass(frozen=True, kw_only=True)
class Behaviour(Finding):
    """Refusal rates and separation of the clean scores, over the audit prompts."""

    refused_harmful: Estimate
    """Share of harmful prompts with refusal score > 0."""
    refused_harmless: Estimate
    """Share of harmless prompts with refusal score > 0."""
    refused_lookalikes: Estimate | None = None
    """Share of safe look-alikes (harmless requests in alarming words) with refusal score > 0, which is
    where a model that refuses too much does so. None if the prompts held none: over-refusal is then
    measured on plain harmless prompts alone."""
    separation: Estimate
    """AUROC: probability that a harmful prompt scores above a harmless one, ties counted half."""
    separation_p_value: float
    """One-sided, labels permuted. Null: harmful prompts score no higher than harmless ones."""
