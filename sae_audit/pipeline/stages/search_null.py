"""The candidates compared with the random pools; those that flip as many prompts are searched too."""

from collections.abc import Sequence

from sae_audit.controls.search_null import N_SEARCHED, against_null, tied_pools
from sae_audit.findings import MinimalSet, SearchNull
from sae_audit.findings.stages import NULL_SEARCH, SEARCH_NULL, WIDENING
from sae_audit.minimal.asking import answered_together
from sae_audit.minimal.search import minimal_set
from sae_audit.pipeline.null_pools import null_pools
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.vocabulary import FeatureId

STAGE = SEARCH_NULL


def run(state: AuditState) -> None:
    candidates = state.session.found_each(WIDENING)
    null = state.session.found_each(NULL_SEARCH)

    def compute() -> SearchNull:
        return against_null(
            state.minimal_sets,
            candidates,
            null,
            _sizes(state, tied_pools(candidates, null)),
            margin=state.config.evidence.margin,
        )

    state.session.remember(STAGE, compute)


def _sizes(state: AuditState, tied: Sequence[int]) -> dict[int, list[int]]:
    """Sizes of the sets that the search finds in each of these pools, 0 where it finds none."""
    if not tied:
        return {}
    pools = null_pools(state, state.training.features().firing_rates)
    prompts = state.refused[:N_SEARCHED]
    orders = {prompt.id: _Orders(state, i) for i, prompt in enumerate(prompts)}
    found: dict[tuple[int, int], MinimalSet] = {}
    score = state.refusal_scores()
    answered_together(
        {
            (pool, i): minimal_set(
                prompt.id, orders[prompt.id].of(pools[pool]), state.config.minimal
            )
            for pool in tied
            for i, prompt in enumerate(prompts)
        },
        lambda questions: score([(prompts[i], asked) for (_, i), asked in questions]),
        done=lambda key, value: found.update({key: value}),
    )
    return {pool: [len(found[pool, i].features) for i in range(len(prompts))] for pool in tied}


class _Orders:
    """The orders of a prompt's searches, its attribution taken once for all pools."""

    def __init__(self, state: AuditState, index: int) -> None:
        self._asked = state.config.minimal.order
        needed = self._asked != "candidates"
        self._drops = state.attribution(state.refused[index]) if needed else None

    def of(self, pool: Sequence[FeatureId]) -> list[list[FeatureId]]:
        found = [list(pool)] if self._asked != "attribution" else []
        if (drops := self._drops) is not None:
            found.append(sorted(pool, key=lambda f: -drops[f.layer][f.index]))
        return found


def price(_: AuditSize) -> Work:
    return Work(forward_passes=0, assumed="no random pool flips as many prompts as the candidates")
