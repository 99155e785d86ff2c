"""How the unablated model treats the prompts, before anything is looked for."""

from dataclasses import dataclass

from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding


@dataclass(frozen=True, kw_only=True)
class PromptScore(Finding):
    """How the unablated model treats one prompt."""

    prompt_id: str
    split: str
    """`train`, `validation` or `audit`."""
    label: str
    """`harmful` or `harmless`."""
    category: str
    score: float
    """Refusal score of the clean run, nats of log-odds; > 0 refuses."""


@dataclass(frozen=True, kw_only=True)
class Behaviour(Finding):
    """What the unablated model's scores say on the audit prompts, before anything is looked for."""

    refused_harmful: Estimate
    """Share of harmful prompts with refusal score > 0."""
    refused_harmless: Estimate
    separation: Estimate
    """AUROC: the chance that a harmful prompt scores above a harmless one, ties counted half."""
    separation_p_value: float
    """One-sided, labels permuted: that harmful prompts score no higher than harmless ones."""
