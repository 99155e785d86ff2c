"""Candidate features: by cosine with the direction, or by estimated effect of ablation."""

import numpy as np

from sae_audit.candidates.by_attribution import by_attribution, mean_drops, within_pool
from sae_audit.candidates.by_cosine import by_cosine
from sae_audit.findings import CandidateSet
from sae_audit.findings.stages import CANDIDATES
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState

STAGE = CANDIDATES


def run(state: AuditState) -> None:
    settings = state.config.candidates

    def compute() -> CandidateSet:
        of_rows = state.subject.decoder_cosines(np.array([state.direction.vector]))
        cosines = {layer: values[0] for layer, values in of_rows.items()}
        pool = by_cosine(cosines, per_layer=settings.per_layer)
        if settings.method == "cosine":
            return pool
        drops = mean_drops([state.attribution(prompt) for prompt in state.prompts.train.harmful])
        if settings.method == "attribution":
            return by_attribution(drops, cosines, per_layer=settings.per_layer)
        return within_pool(pool, drops, keep=settings.keep)

    state.session.remember(STAGE, compute)


def price(size: AuditSize) -> Work:
    if size.config.candidates.method == "cosine":
        return Work(forward_passes=0, encoded=float(size.features))
    return size.attribution(size.train)
