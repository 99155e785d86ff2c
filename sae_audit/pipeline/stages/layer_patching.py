"""In which layers refusal reaches the tokens behind the request: activation patching (2202.05262)."""

from sae_audit.direction.patched_layers import PatchedScores, layer_patching
from sae_audit.findings import LayerPatching
from sae_audit.findings.stages import LAYER_PATCHING, MEANS
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.record.tensors import read_tensors

STAGE = LAYER_PATCHING

_KINDS = 4
"""Patches of each prompt at each layer: three of refused prompts, one of answered ones."""


def run(state: AuditState) -> None:
    """Record the patches of refused and of answered audit prompts; nothing without either."""
    subject, refused, answered = state.subject, state.refused, state.audited.harmless

    def compute() -> LayerPatching:
        means = read_tensors(state.session.folder, MEANS)
        harmful, harmless = means["harmful"], means["harmless"]
        return layer_patching(
            PatchedScores(
                clean_refused=subject.clean_scores(refused),
                clean_answered=subject.clean_scores(answered),
                refused=subject.patched_scores(refused, harmless),
                written=subject.patched_scores(refused, harmless, writes=True),
                own_mean=subject.patched_scores(refused, harmful),
                answered=subject.patched_scores(answered, harmful),
            ),
            subject.template.n_after,
        )

    if refused and answered:
        state.session.remember(STAGE, compute)


def price(size: AuditSize) -> Work:
    n = size.audit
    rows = _KINDS * n * size.n_layers
    return Work(
        forward_passes=4 * n + rows,
        layer_tokens=size.whole(2 * n),
        alone_layer_tokens=size.whole(2 * n),
        # On average half of the layers lie above the patched one.
        swept_layer_tokens=rows * size.facts.template_tokens * (size.n_layers - 1) / 2,
        heads=2 * n,
        swept_heads=rows,
    )
