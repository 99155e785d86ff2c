"""The null of the search: the same search for each prompt, among random candidates of its own."""

from sae_audit.findings import MinimalSet
from sae_audit.findings.stages import SEARCH_BY_CHANCE
from sae_audit.minimal.asking import Asking
from sae_audit.minimal.search import minimal_set
from sae_audit.pipeline.pricing import Scale, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt
from sae_audit.sampling import random_candidates

STAGE = SEARCH_BY_CHANCE


def run(state: AuditState) -> None:
    indices = {prompt.id: index for index, prompt in enumerate(state.refused)}

    def begin(prompt: Prompt) -> Asking[MinimalSet]:
        index = indices[prompt.id]
        # The first prompt is charged for the reading, also if a resumed run begins at another.
        read = state.training.features() if index else state.training.features_charged()
        seed = (state.config.seed, index)
        pool = random_candidates(state.pools[prompt.id], read.firing_rates, seed=seed)
        return minimal_set(prompt.id, state.search_orders(prompt, pool), state.config.minimal)

    state.session.remember_together(STAGE, state.refused, begin, state.refusal_scores)


def price(scale: Scale) -> Work:
    """Random candidates mostly flip nothing: two questions a prompt, and its attribution. What fires
    on the training prompts is read here, for all who draw random features."""
    questions = 2 * scale.audit
    own = scale.own_order()
    return Work(
        forward_passes=2 * scale.train + questions + own.forward_passes,
        alone_layer_tokens=scale.whole(2 * scale.train + scale.audit) + own.alone_layer_tokens,
        swept_layer_tokens=scale.swept(questions),
        heads=3 * scale.audit,
        swept_heads=questions,
        alone_encoded=scale.encoded(2 * scale.train) + own.alone_encoded,
        assumed="random candidates flip nothing",
    )
