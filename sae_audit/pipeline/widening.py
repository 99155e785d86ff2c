"""Stage 2 between its steps: a wider pool for prompts that the candidates together do not flip.

What covers for the candidates shows once they are ablated: a feature far from the direction, or one
that was asleep. So the pool of such a prompt is widened, round by round, by the features whose
ablation should then lower the score most.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from sae_audit.findings import CandidateSet, WidenedPool
from sae_audit.findings.stages import WIDENING
from sae_audit.pipeline.session import Session
from sae_audit.pipeline.stages import Pools, ranked
from sae_audit.prompts.types import Prompt
from sae_audit.vocabulary import FeatureId, FeatureSet


def widen_pools(session: Session, prompts: Sequence[Prompt], candidates: CandidateSet) -> Pools:
    """Each prompt's pool: the candidates, and behind them what was added where they do not flip."""
    order = ranked(candidates)
    pool = frozenset(order)
    widened = session.remember_each(
        WIDENING, list(prompts), lambda prompt: _widened(session, prompt, pool)
    )
    return {
        one.prompt_id: [*order, *(feature for added in one.added for feature in added)]
        for one in widened
    }


def _widened(session: Session, prompt: Prompt, pool: FeatureSet) -> WidenedPool:
    settings, score = session.config.candidates, session.score_of(prompt)
    scores = [float(score([pool])[0])]
    added: list[tuple[FeatureId, ...]] = []
    while scores[-1] >= 0.0 and len(added) < settings.widen_rounds:
        drops = session.subject.attribution(prompt, session.ablation, ablated=pool)
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
    """Up to `n` features outside the pool that should lower the score, over all layers."""
    found: list[tuple[float, FeatureId]] = []
    for layer, values in drops.items():
        # No layer can give more than n, and the pool hides no more than it holds.
        for index in np.argsort(-values, kind="stable")[: n + len(pool)]:
            feature = FeatureId(layer, int(index))
            if values[index] > 0.0 and feature not in pool:
                found.append((-float(values[index]), feature))
    return tuple(feature for _, feature in sorted(found)[:n])
