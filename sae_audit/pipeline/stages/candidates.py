"""Candidate features: by cosine with the direction, or by estimated effect of ablation.

Cosine with a direction that does not remove refusal, or not cleanly, says little about what carries it;
candidates are then ranked by estimated effect, and the finding says so.
"""

from dataclasses import replace

import numpy as np

from sae_audit.candidates.by_attribution import by_attribution, mean_drops, within_pool
from sae_audit.candidates.by_cosine import by_cosine
from sae_audit.findings import CandidateSet, Direction
from sae_audit.findings.stages import CANDIDATES
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState

STAGE = CANDIDATES


def run(state: AuditState) -> None:
    settings = state.config.candidates
    why = not_by_cosine(state.direction) if settings.method == "cosine" else ""

    def compute() -> CandidateSet:
        of_rows = state.subject.decoder_cosines(np.array([state.direction.vector]))
        cosines = {layer: values[0] for layer, values in of_rows.items()}
        pool = by_cosine(cosines, per_layer=settings.per_layer)
        if settings.method == "cosine" and not why:
            return pool
        drops = mean_drops([state.attribution(prompt) for prompt in state.prompts.train.harmful])
        if settings.method == "cosine_attribution":
            return within_pool(pool, drops, keep=settings.keep)
        found = by_attribution(drops, cosines, per_layer=settings.per_layer)
        if why and not found.candidates:
            none = "no feature's ablation is estimated to lower the score"
            return replace(pool, reason=f"by cosine all the same: {why}, but {none}")
        return replace(found, reason=why)

    state.session.remember(STAGE, compute)


def not_by_cosine(found: Direction) -> str:
    """Why cosines with this direction do not rank features; empty if they do."""
    reasons: list[str] = []
    if not found.clean:
        reasons.append(f"the direction {' and '.join(found.breaks)}")
    if found.weak and found.removed is not None:
        reasons.append(f"the direction removes {found.removed.value:.0%} of the refusal score")
    return " and ".join(reasons)


def price(size: AuditSize) -> Work:
    attributed = size.attribution(size.train)
    # The clean runs on which the gradients are taken, whose tokens it counts already.
    passes = attributed.forward_passes + size.train
    attributed = replace(attributed, forward_passes=passes)
    if size.config.candidates.method != "cosine":
        return attributed
    return Work(
        forward_passes=0,
        encoded=float(size.features),
        most=attributed,
        assumed="a direction that is clean and not weak; else by estimated effect",
    )
