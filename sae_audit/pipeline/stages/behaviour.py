"""Refusal rates, and whether the clean scores separate harmful from harmless prompts."""

from sae_audit.direction.presence import behaviour
from sae_audit.findings.stages import BEHAVIOUR
from sae_audit.pipeline.pricing import nothing
from sae_audit.pipeline.state import AuditState

STAGE = BEHAVIOUR


def run(state: AuditState) -> None:
    state.session.remember(STAGE, lambda: behaviour(state.scores, seed=state.config.seed))


price = nothing
