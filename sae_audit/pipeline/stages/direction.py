"""The refusal direction: difference of means, chosen on validation prompts (2406.11717)."""

from sae_audit.direction.difference_of_means import difference_of_means
from sae_audit.direction.selection import first_cut_layer
from sae_audit.findings import Direction, NoDirection
from sae_audit.findings.stages import DIRECTION
from sae_audit.pipeline.means import record_means
from sae_audit.pipeline.pricing import Scale, Work
from sae_audit.pipeline.state import AuditState

STAGE = DIRECTION

_DECIDING = 1 / 3
"""Share of what can be asked about the candidates that are not cut, after which the choice of the
direction is settled; on the bundled organism .33."""


def run(state: AuditState) -> None:
    session, subject = state.session, state.subject
    train, validation = state.prompts.train, state.prompts.validation

    def compute() -> Direction | NoDirection:
        harmful, harmless = record_means(session, train)
        return difference_of_means(
            harmful,
            harmless,
            subject.direction_effects(validation.harmful, validation.harmless),
            session.config.direction,
            clean=(
                float(subject.clean_scores(validation.harmful).mean()),
                float(subject.clean_scores(validation.harmless).mean()),
            ),
            n_train=(len(train.harmful), len(train.harmless)),
            n_validation=(len(validation.harmful), len(validation.harmless)),
            progress=lambda done, total: session.progress(STAGE, done, total),
        )

    session.remember(STAGE, compute, in_parts=True)


def price(scale: Scale) -> Work:
    """Expected: candidates are left alone as soon as they cannot be chosen; at most all are asked."""
    n_early = max(0, first_cut_layer(scale.n_layers, scale.config.direction.layer_cut))
    each = 3 * scale.validation * scale.facts.template_tokens
    asked = _DECIDING * each * n_early
    # An addition, a third of the questions, runs the layers above its own.
    above = 1.0 - (n_early / 2 + 1) / scale.n_layers
    others = 2 * scale.train + 4 * scale.validation
    return Work(
        forward_passes=asked + others,
        layer_tokens=scale.whole(others + asked * (2 + above) / 3),
        edited_layer_tokens=scale.whole(asked * 2 / 3),
        heads=asked + others,
        assumed=f"a direction passes, shown by {_DECIDING:.0%} of all that can be asked; at most "
        f"{round(each * scale.n_layers + others):,} passes",
    )
