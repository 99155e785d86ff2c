"""The clean score of every prompt of every split."""

import time

from sae_audit.findings.stages import SCORES
from sae_audit.pipeline.inputs import classified
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.subject.model.cost import CostMeter

STAGE = SCORES


def run(state: AuditState) -> None:
    """Record the clean scores; the clamps of features are read in the same passes."""
    session = state.session
    recorded = session.store.get(STAGE, STAGE.key)
    session.progress(STAGE, 0, 1)
    started = time.perf_counter()
    scores = recorded or classified(state.subject, state.inputs.splits)
    seconds = time.perf_counter() - started
    session.note(STAGE, STAGE.key, scores)
    _ = state.ablation  # Asked for here, so that the same stage is charged in every run.
    session.progress(STAGE, 1, 1)
    if recorded is None:
        # All passes so far, including those that found the refusal tokens, are charged to the scores.
        session.keep(STAGE, STAGE.key, scores, since=CostMeter(), seconds=seconds)


def price(size: AuditSize) -> Work:
    # If answers are judged, two are generated first, to check that the length is possible.
    n_answers = 2 if size.config.confirm == "text" else 0
    n = 2 * (size.train + size.validation + size.audit) + size.lookalikes + n_answers
    return Work(
        forward_passes=n,
        layer_tokens=size.whole(n) + n_answers * size.n_layers * size.config.answer_tokens,
        heads=n + n_answers * size.config.answer_tokens,
    )
