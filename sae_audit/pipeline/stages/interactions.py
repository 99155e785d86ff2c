"""Interactions of prompts' strongest features, and of the pooled set's (2509.09708)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from sae_audit.findings import InteractionGraph
from sae_audit.findings.stages import INTERACTIONS, POOLED, POOLED_SET
from sae_audit.interactions.fit import interactions
from sae_audit.interactions.players import strongest_players
from sae_audit.pipeline.pricing import DISTINCT, AuditSize, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt
from sae_audit.vocabulary import FeatureSet

STAGE = INTERACTIONS


def run(state: AuditState) -> None:
    session, own = state.session, {m.prompt_id: frozenset(m.features) for m in state.minimal_sets}
    fitted = state.drawn_refused(state.config.interactions.prompts)
    session.remember_each(STAGE, fitted, lambda p: _fit(state, p.id, [p], own[p.id]))
    pooled = session.if_found(POOLED_SET)
    if pooled is not None:
        panel = [p for p in state.refused if p.id in pooled.built_on]
        panel = panel[: state.config.interactions.pooled_prompts]
        features = frozenset(pooled.features)
        session.remember_pooled(STAGE, lambda: _fit(state, POOLED, panel, features))


def price(size: AuditSize) -> Work:
    settings = size.config.interactions
    panel = min(settings.pooled_prompts, (size.audit + 1) // 2)
    fitted = min(settings.prompts, size.audit)
    prompts = fitted + panel
    singles = DISTINCT * prompts * size.n_candidates
    masks = DISTINCT * prompts * settings.n_masks
    return Work(
        forward_passes=singles + masks,
        # A single feature's ablation runs the layers above its own: half of them on average.
        swept_layer_tokens=size.swept(singles, 0.5) + size.swept(masks),
        swept_heads=singles + masks,
        fits=fitted + 1,
        assumed="two thirds of the sets change something",
    )


def _fit(
    state: AuditState,
    scope: str,
    prompts: Sequence[Prompt],
    always: FeatureSet,
) -> InteractionGraph:
    settings = state.config.interactions
    scores = [state.score_of(prompt) for prompt in prompts]
    # Candidates, then features of widened pools.
    candidates = [*state.candidates.ranked, *sorted(always.difference(state.candidates.ranked))]

    def mean_score(sets: Sequence[FeatureSet]) -> Float[np.ndarray, " set"]:
        return np.mean([score(sets) for score in scores], axis=0)

    players, n_choosing = strongest_players(
        mean_score, candidates, always=always, max_players=settings.max_players
    )
    return interactions(
        scores,
        players,
        scope=scope,
        n_masks=settings.n_masks,
        seed=state.config.seed,
        solver=settings.solver,
        n_shuffles=settings.n_shuffles,
        n_choosing=n_choosing * len(prompts),
    )
