"""The null of the search: the same search for each prompt among its own random candidates."""

from sae_audit.findings import MinimalSet
from sae_audit.findings.stages import NULL_SEARCH
from sae_audit.minimal.asking import Asking
from sae_audit.minimal.search import minimal_set
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt
from sae_audit.sampling import random_candidates

STAGE = NULL_SEARCH


def run(state: AuditState) -> None:
    indices = {prompt.id: index for index, prompt in enumerate(state.refused)}

    def begin(prompt: Prompt) -> Asking[MinimalSet]:
        index = indices[prompt.id]
        # The first prompt is charged for the reading, even if a resumed run begins at another.
        read = state.training.features() if index else state.training.features_charged()
        seed = (state.config.seed, index)
        pool = random_candidates(state.pools[prompt.id], read.firing_rates, seed=seed)
        return minimal_set(prompt.id, state.search_orders(prompt, pool), state.config.minimal)

    state.session.remember_together(STAGE, state.refused, begin, state.refusal_scores)


def price(size: AuditSize) -> Work:
    """Two questions a prompt, since random candidates mostly flip nothing, and its attribution; and the
    reading of the training prompts' features, for all stages that draw random ones."""
    questions = 2 * size.audit
    own = size.own_order()
    return Work(
        forward_passes=2 * size.train + questions + own.forward_passes,
        alone_layer_tokens=size.whole(2 * size.train + size.audit) + own.alone_layer_tokens,
        swept_layer_tokens=size.swept(questions),
        heads=3 * size.audit,
        swept_heads=questions,
        alone_encoded=size.encoded(2 * size.train) + own.alone_encoded,
        assumed="random candidates flip nothing",
    )
