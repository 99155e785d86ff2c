"""Which ablated feature activates which dormant one, tested pair by pair."""

from sae_audit.cascade.edges import activation_edges
from sae_audit.findings import ActivationEdges
from sae_audit.findings.stages import CASCADES, EDGES
from sae_audit.pipeline.pricing import SET_SIZE, AuditSize, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt

STAGE = EDGES

_BACKUPS = 2
"""Number of features of a second wave, if there is one."""
_DEEPER = 0.6
"""Share of flipped prompts with a second wave: on the bundled organism 23 of 40."""


def run(state: AuditState) -> None:
    found = {one.prompt_id: one for one in state.session.found_each(CASCADES)}
    subject, settings = state.subject, state.config.cascade

    def edges_of(prompt: Prompt) -> ActivationEdges:
        activations = subject.activations(prompt, state.ablation)
        active = subject.active(prompt, state.ablation)
        return activation_edges(found[prompt.id], active, activations, settings)

    state.session.remember_each(STAGE, state.flipped, edges_of)


def price(size: AuditSize) -> Work:
    m, settings = SET_SIZE, size.config.cascade
    # Each cause spared, alone, and alone with all else frozen; stand-ins for half of the pairs.
    runs = 1 + 2 * m + m * _BACKUPS + settings.edge_controls * m * _BACKUPS / 2
    total = _DEEPER * size.audit * runs
    return Work(
        forward_passes=total,
        swept_layer_tokens=total * size.tokens * size.above / 2,
        alone_encoded=size.encoded(2 * _DEEPER * size.audit),
        assumed=f"a second wave of {_BACKUPS} features on {_DEEPER:.0%} of prompts",
    )
