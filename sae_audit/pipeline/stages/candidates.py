"""Candidate features: by cosine with the direction, or by estimated effect of ablation."""

from sae_audit.findings.stages import CANDIDATES
from sae_audit.pipeline.pools import candidate_set
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState

STAGE = CANDIDATES


def run(state: AuditState) -> None:
    state.session.remember(STAGE, lambda: candidate_set(state))


def price(size: AuditSize) -> Work:
    if size.config.candidates.method == "cosine":
        return Work(forward_passes=0, encoded=float(size.features))
    return size.attribution(size.train)
