"""What work is counted in: passes, and tokens through layers, that can be timed one by one."""

from dataclasses import dataclass

from sae_audit.config import AuditConfig
from sae_audit.planning.facts import SubjectFacts

DISTINCT = 0.65
"""Share of the sets in which some feature fires, and that no other set shares; the rest cost nothing.
On the bundled organism .73, on a random model of Gemma-2-2B's shape .59."""
_CHANGED = 0.6
"""Share of a prompt's positions from the first that an ablation changes."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one stage does."""

    forward_passes: float
    layer_tokens: float = 0.0
    """Tokens through one decoder layer each, in whole passes of several prompts."""
    alone_layer_tokens: float = 0.0
    """The same in passes of one prompt."""
    swept_layer_tokens: float = 0.0
    """The same in sweeps, where questions share what they can."""
    edited_layer_tokens: float = 0.0
    """Of the former, those in which a direction is projected out on the way."""
    heads: float = 0.0
    """Distributions over the vocabulary, in whole passes."""
    swept_heads: float = 0.0
    """The same in sweeps."""
    encoded: float = 0.0
    """Features times tokens that are encoded, or decoded, with whole SAEs."""
    alone_encoded: float = 0.0
    """The same, one prompt at a time."""
    steps: float = 0.0
    """Steps of writing answers, one batch through all layers each."""
    fits: float = 0.0
    """Interaction graphs fitted."""
    assumed: str = ""


class Scale:
    """How large an audit is, and what a number of passes comes to at that size."""

    def __init__(self, config: AuditConfig, facts: SubjectFacts) -> None:
        self.config, self.facts = config, facts
        self.tokens = facts.prompt_tokens
        self.n_layers = facts.n_layers
        sizes = config.prompts
        self.train, self.validation, self.audit = sizes.train, sizes.validation, sizes.audit
        self.above = self.n_layers - min(facts.saes)
        """Layers that a sweep from the lowest audited one runs."""
        self.features = sum(sae.width for sae in facts.saes.values())
        n = config.candidates.per_layer * len(facts.saes)
        kept = config.candidates.method == "cosine_attribution"
        self.n_candidates = min(n, config.candidates.keep) if kept else n

    def whole(self, passes: float, tokens: float | None = None) -> float:
        """Layer-tokens of passes through the whole model."""
        return passes * (self.tokens if tokens is None else tokens) * self.n_layers

    def swept(self, questions: float, share: float = 1.0) -> float:
        """Layer-tokens of questions in sweeps, `share` of the layers above the lowest audited one."""
        return questions * self.tokens * _CHANGED * self.above * share

    def encoded(self, passes: float) -> float:
        """Features times tokens that these passes encode with every SAE."""
        return passes * self.tokens * self.features
