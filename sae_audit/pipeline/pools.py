"""The features that a search may choose from: candidates of all prompts, and one prompt's wider pool."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from sae_audit.candidates.by_attribution import by_attribution, mean_drops, within_pool
from sae_audit.candidates.by_cosine import Eligible, by_cosine
from sae_audit.findings import CandidateSet, Direction, WidenedPool
from sae_audit.margins import answers
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt
from sae_audit.vocabulary import FeatureId, FeatureSet


def candidate_sets(state: AuditState, numbers: Sequence[int]) -> list[CandidateSet]:
    """For each number of features per layer, the candidates among the state's SAEs, by the settings; by
    estimated effect if cosines with the direction do not rank features."""
    settings = state.config.candidates
    of_rows = state.subject.decoder_cosines(np.array([state.direction.vector]))
    cosines = {layer: values[0] for layer, values in of_rows.items()}
    eligible = state.eligible
    why = not_by_cosine(state.direction) if settings.method == "cosine" else ""
    if settings.method == "cosine" and not why:
        return [by_cosine(cosines, eligible, per_layer=n) for n in numbers]
    drops = mean_drops([state.attribution(prompt) for prompt in state.prompts.train.harmful])

    def chosen(n: int) -> CandidateSet:
        if settings.method == "cosine_attribution":
            pool = by_cosine(cosines, eligible, per_layer=n)
            return within_pool(pool, drops, keep=settings.keep)
        found = by_attribution(drops, cosines, eligible, per_layer=n)
        if why and not found.candidates:
            none = "no feature's ablation is estimated to lower the score"
            pool = by_cosine(cosines, eligible, per_layer=n)
            return replace(pool, reason=f"by cosine all the same: {why}, but {none}")
        return replace(found, reason=why)

    return [chosen(n) for n in numbers]


def not_by_cosine(found: Direction) -> str:
    """Why cosines with this direction do not rank features; empty if they do."""
    reasons: list[str] = []
    if not found.clean:
        reasons.append(f"the direction {' and '.join(found.breaks)}")
    if found.weak and found.removed is not None:
        reasons.append(f"the direction removes {found.removed.value:.0%} of the refusal score")
    return " and ".join(reasons)


def widened_pool(
    state: AuditState, prompt: Prompt, pool: FeatureSet, *, rounds: int
) -> WidenedPool:
    """The features added to the `pool` of candidates in up to `rounds` rounds, until ablating the whole
    pool flips the prompt."""
    settings, score = state.config.candidates, state.score_of(prompt)
    scores = [float(score([pool])[0])]
    added: list[tuple[FeatureId, ...]] = []
    while not answers(scores[-1]) and len(added) < rounds:
        drops = state.subject.attribution(prompt, state.ablation, ablated=pool)
        more = _likeliest(drops, pool, state.eligible, settings.widen_by)
        if not more:
            break
        added.append(more)
        pool |= frozenset(more)
        scores.append(float(score([pool])[0]))
    return WidenedPool(prompt_id=prompt.id, added=tuple(added), scores=tuple(scores))


def _likeliest(
    drops: dict[int, Float[np.ndarray, " d_sae"]], pool: FeatureSet, eligible: Eligible, n: int
) -> tuple[FeatureId, ...]:
    """Up to `n` eligible features outside the pool with the largest estimated drop of the score."""
    found: list[tuple[float, FeatureId]] = []
    for layer, values in drops.items():
        order = np.argsort(-values, kind="stable")
        # A layer gives at most n, and the pool excludes at most its own size.
        for index in order[eligible[layer][order]][: n + len(pool)]:
            feature = FeatureId(layer, int(index))
            if values[index] > 0.0 and feature not in pool:
                found.append((-float(values[index]), feature))
    return tuple(feature for _, feature in sorted(found)[:n])
