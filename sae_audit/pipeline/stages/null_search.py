"""The null of the search: each refused prompt's score with each of the random pools ablated whole."""

from functools import cache

from sae_audit.findings import NullScores
from sae_audit.findings.stages import NULL_SEARCH
from sae_audit.minimal.asking import Asking
from sae_audit.pipeline.null_pools import null_pools
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt
from sae_audit.vocabulary import FeatureSet

STAGE = NULL_SEARCH


def run(state: AuditState) -> None:
    @cache
    def pools() -> list[FeatureSet]:
        drawn = null_pools(state, state.training.features().firing_rates)
        return [frozenset(pool) for pool in drawn]

    def begin(prompt: Prompt) -> Asking[NullScores]:
        if prompt == state.refused[0]:
            # It is charged for the reading, even if a resumed run begins at another.
            state.training.features_charged()
        return _scored(prompt.id, pools())

    state.session.remember_together(STAGE, state.refused, begin, state.refusal_scores)


def _scored(prompt_id: str, pools: list[FeatureSet]) -> Asking[NullScores]:
    scores = yield pools
    return NullScores(prompt_id=prompt_id, scores=tuple(map(float, scores)))


def price(size: AuditSize) -> Work:
    """A clean run of each prompt, and a question for each pool; and the reading of the training prompts'
    features, for all stages that draw random ones."""
    questions = size.config.evidence.null_pools * size.audit
    return Work(
        forward_passes=2 * size.train + size.audit + questions,
        alone_layer_tokens=size.whole(2 * size.train + size.audit),
        swept_layer_tokens=size.swept(questions),
        heads=size.audit,
        swept_heads=questions,
        alone_encoded=size.encoded(2 * size.train),
    )
