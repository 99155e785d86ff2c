"""The same search, under the same limits, with dictionaries that know nothing of the model."""

from collections.abc import Sequence

import numpy as np

from sae_audit.findings import MinimalSet, NullDictionary, NullKind, NullSet
from sae_audit.findings.stages import NULL_DICTIONARIES, WIDENING
from sae_audit.minimal.asking import answered, answered_together
from sae_audit.minimal.limited import limited_set
from sae_audit.minimal.search import minimal_set
from sae_audit.pipeline.pools import candidate_sets, widened_pool
from sae_audit.pipeline.pricing import DISTINCT, AuditSize, Work
from sae_audit.pipeline.side_effects import HarmlessChanges
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt
from sae_audit.subject.saes.null_dictionary import null_suite
from sae_audit.vocabulary import FeatureId

STAGE = NULL_DICTIONARIES

_BESIDE = 5
"""Largest number of dictionaries of a kind that no claim must beat."""
_NULL_SIZE = 6
"""Assumed number of features of a set that flips, of half of the dictionaries; the others flip none."""


def run(state: AuditState) -> None:
    """Record each null dictionary's sets; none if no prompt was flipped, or none is asked for."""
    if not state.flipping or not state.config.evidence.null_dictionaries:
        return
    n = state.config.evidence.null_dictionaries
    asked = {
        f"{kind.value}/{number}": (kind, number)
        for kind in NullKind
        for number in range(_n(kind, n))
    }
    state.session.remember_dictionaries(
        STAGE, list(asked), lambda key: _searched(state, *asked[key])
    )


def price(size: AuditSize) -> Work | None:
    evidence = size.config.evidence
    if not evidence.null_dictionaries:
        return None
    n = sum(_n(kind, evidence.null_dictionaries) for kind in NullKind)
    prompts = min(evidence.null_prompts, size.audit)
    questions = DISTINCT * prompts * n * (2 + _NULL_SIZE * 3)
    attributed = prompts * n if size.config.minimal.order != "candidates" else 0
    own = size.attribution(attributed)
    harmless = 0.5 * n * prompts * size.config.side_effects.prompts
    return Work(
        forward_passes=questions + own.forward_passes + harmless,
        alone_layer_tokens=own.alone_layer_tokens,
        swept_layer_tokens=size.swept(questions + harmless),
        swept_heads=questions + harmless,
        alone_encoded=own.alone_encoded,
        assumed=f"half of the null dictionaries flip, with {_NULL_SIZE} features",
    )


def _n(kind: NullKind, asked: int) -> int:
    """Number of dictionaries of a kind: those that decide nothing only show a size."""
    return asked if kind.about_features else min(asked, _BESIDE)


def _searched(state: AuditState, kind: NullKind, number: int) -> NullDictionary:
    seed = (state.config.seed, list(NullKind).index(kind), number)
    null = state.with_saes(
        null_suite(state.subject.suite, kind, np.array(state.direction.vector), seed=seed)
    )
    prompts = _prompts(state)
    candidates = candidate_sets(null, [state.candidates.per_layer])[0].ranked
    if not candidates:
        nothing = tuple(_null_set(p.id, (), 0, 0.0) for p in prompts)
        return NullDictionary(kind=kind, number=number, sets=nothing)
    # As many features as the real search had: wider if it was, in as many rounds.
    rounds = {one.prompt_id: len(one.added) for one in state.session.found_each(WIDENING)}
    pools = {
        p.id: [*candidates, *_added(null, p, candidates, rounds=rounds[p.id])] for p in prompts
    }
    orders = {p.id: null.search_orders(p, pools[p.id]) for p in prompts}
    by_id = {p.id: p for p in prompts}
    found: dict[str, MinimalSet] = {}
    score = null.refusal_scores()
    answered_together(
        {key: minimal_set(key, own, state.config.minimal) for key, own in orders.items()},
        lambda questions: score([(by_id[key], asked) for key, asked in questions]),
        done=found.__setitem__,
    )
    changes = HarmlessChanges(null)
    limits, sets = changes.limits, list[NullSet]()
    for prompt in prompts:
        limited = limited_set(found[prompt.id], orders[prompt.id], state.config.minimal, limits)
        own, _ = answered(limited, null.score_of(prompt))
        kl = float(changes.means([frozenset(own.features)])[0, 0]) if own.flipped else 0.0
        sets.append(_null_set(prompt.id, own.features, len(pools[prompt.id]), kl))
    return NullDictionary(kind=kind, number=number, sets=tuple(sets))


def _null_set(
    prompt_id: str, features: tuple[FeatureId, ...], n_candidates: int, kl: float
) -> NullSet:
    return NullSet(prompt_id=prompt_id, features=features, n_candidates=n_candidates, kl=kl)


def _added(
    null: AuditState, prompt: Prompt, candidates: Sequence[FeatureId], *, rounds: int
) -> list[FeatureId]:
    if not rounds:
        return []
    added = widened_pool(null, prompt, frozenset(candidates), rounds=rounds).added
    return [feature for one in added for feature in one]


def _prompts(state: AuditState) -> list[Prompt]:
    """The refused prompts that are searched with every dictionary, drawn by the seed."""
    refused, n = state.refused, state.config.evidence.null_prompts
    order = np.random.default_rng(state.config.seed).permutation(len(refused))
    return [refused[i] for i in sorted(order[:n])]
