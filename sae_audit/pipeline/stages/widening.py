"""A wider pool for each prompt that ablating all candidates does not flip.

Features that compensate for the candidates become visible only after the candidates are ablated: they
may have a low cosine with the direction, or be inactive on the clean run. Each round adds those with
the largest estimated effect then.
"""

import numpy as np
from jaxtyping import Float

from sae_audit.findings import WidenedPool
from sae_audit.findings.stages import WIDENING
from sae_audit.margins import answers
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt
from sae_audit.vocabulary import FeatureId, FeatureSet

STAGE = WIDENING


def run(state: AuditState) -> None:
    pool = frozenset(state.candidates.ranked)
    state.session.remember_each(STAGE, state.refused, lambda prompt: _widened(state, prompt, pool))


def price(size: AuditSize) -> Work:
    # A clean pass and one with all candidates ablated; more only if that does not flip.
    return Work(
        forward_passes=2 * size.audit,
        alone_layer_tokens=size.whole(size.audit),
        swept_layer_tokens=size.swept(size.audit),
        heads=size.audit,
        swept_heads=size.audit,
        assumed="all candidates together flip every prompt",
    )


def _widened(state: AuditState, prompt: Prompt, pool: FeatureSet) -> WidenedPool:
    settings, score = state.config.candidates, state.score_of(prompt)
    scores = [float(score([pool])[0])]
    added: list[tuple[FeatureId, ...]] = []
    while not answers(scores[-1]) and len(added) < settings.widen_rounds:
        drops = state.subject.attribution(prompt, state.ablation, ablated=pool)
        more = _likeliest(drops, pool, settings.widen_by)
        if not more:
            break
        added.append(more)
        pool |= frozenset(more)
        scores.append(float(score([pool])[0]))
    return WidenedPool(prompt_id=prompt.id, added=tuple(added), scores=tuple(scores))


def _likeliest(
    drops: dict[int, Float[np.ndarray, " d_sae"]], pool: FeatureSet, n: int
) -> tuple[FeatureId, ...]:
    """Up to `n` features outside the pool with the largest estimated drop of the score."""
    found: list[tuple[float, FeatureId]] = []
    for layer, values in drops.items():
        # A layer gives at most n, and the pool excludes at most its own size.
        for index in np.argsort(-values, kind="stable")[: n + len(pool)]:
            feature = FeatureId(layer, int(index))
            if values[index] > 0.0 and feature not in pool:
                found.append((-float(values[index]), feature))
    return tuple(feature for _, feature in sorted(found)[:n])
