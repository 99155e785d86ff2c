"""The refusal direction: estimated on training prompts, chosen on validation prompts (2406.11717)."""

from dataclasses import replace

from sae_audit.direction.finding import found_direction
from sae_audit.direction.methods import Means
from sae_audit.findings import Direction, NoDirection
from sae_audit.findings.stages import DIRECTION
from sae_audit.pipeline.means import record_means
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.stage_one import price_of_choice
from sae_audit.pipeline.state import AuditState

STAGE = DIRECTION


def run(state: AuditState) -> None:
    session, subject = state.session, state.subject
    train, validation = state.prompts.train, state.prompts.validation

    def compute() -> Direction | NoDirection:
        harmful, harmless = record_means(session, train)
        return found_direction(
            Means(harmful=harmful, harmless=harmless),
            subject.direction_effects(validation.harmful, validation.harmless),
            session.config.direction,
            clean=(
                subject.clean_scores(validation.harmful),
                subject.clean_scores(validation.harmless),
            ),
            n_train=(len(train.harmful), len(train.harmless)),
            progress=lambda done, total: session.progress(STAGE, done, total),
        )

    session.remember(STAGE, compute, in_parts=True)


def price(size: AuditSize) -> Work:
    """The means of training prompts and clean scores, and the choice."""
    passes = 2 * size.train + 4 * size.validation
    before = Work(forward_passes=passes, layer_tokens=size.whole(passes), heads=passes)
    choice = price_of_choice(size)
    return replace(
        before + choice,
        assumed=choice.assumed,
        most=before + choice.most if choice.most else None,
    )
