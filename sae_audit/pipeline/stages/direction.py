"""The refusal direction: estimated on training prompts, chosen on validation prompts (2406.11717)."""

from sae_audit.direction.finding import found_direction
from sae_audit.direction.methods import Means, Size
from sae_audit.direction.registry import selector
from sae_audit.findings import Direction, NoDirection
from sae_audit.findings.stages import DIRECTION
from sae_audit.pipeline.means import record_means
from sae_audit.pipeline.pricing import AuditSize, Work
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
                float(subject.clean_scores(validation.harmful).mean()),
                float(subject.clean_scores(validation.harmless).mean()),
            ),
            n_train=(len(train.harmful), len(train.harmless)),
            n_validation=(len(validation.harmful), len(validation.harmless)),
            progress=lambda done, total: session.progress(STAGE, done, total),
        )

    session.remember(STAGE, compute, in_parts=True)


def price(size: AuditSize) -> Work:
    """The means of training prompts, and the questions that the method of selection expects."""
    settings = size.config.direction
    price = selector(settings).price(
        Size(
            n_layers=size.n_layers,
            n_positions=size.facts.template_tokens,
            n_validation=size.validation,
            layer_cut=settings.layer_cut,
        )
    )
    others = 2 * size.train + 4 * size.validation
    open_ended = price.most_forward_passes > price.forward_passes
    most = f"at most {round(price.most_forward_passes + others):,} passes" if open_ended else ""
    return Work(
        forward_passes=price.forward_passes + others,
        layer_tokens=size.whole(others) + size.tokens * price.layer_passes,
        edited_layer_tokens=size.tokens * price.edited_layer_passes,
        heads=price.heads + others,
        assumed="; ".join(filter(None, (f"chosen by {settings.selection}", price.assumed, most))),
    )
