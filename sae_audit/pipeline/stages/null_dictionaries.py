"""The same search, under the same limits, with dictionaries that know nothing of the model."""

from collections.abc import Sequence

import numpy as np

from sae_audit.controls.dictionary_null import does_as_well, own_sets
from sae_audit.findings import NullDictionary, NullKind, SearchedSet
from sae_audit.findings.stages import NULL_DICTIONARIES, UNLIMITED_SETS
from sae_audit.pipeline.null_dictionary_search import searched_sets
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt
from sae_audit.subject.saes.null_dictionary import null_suite

STAGE = NULL_DICTIONARIES

_BESIDE = 5
"""Largest number of dictionaries of a kind that no claim must beat."""
_NULL_SIZE = 6
"""Assumed number of features of a set that flips, of a third of the dictionaries; the others flip none."""
_FLIPPING = 1 / 3
_QUESTIONS = 12
"""Sets that are scored for each feature of a set that is found, in both orders: on the bundled organism."""
_SEARCHED = 0.6
"""Share of the prompts that are searched until a dictionary that flips is known to do worse."""


def run(state: AuditState) -> None:
    """Record the null dictionaries' sets; none if no prompt was flipped, or none is asked for."""
    if not state.flipping or not state.config.evidence.null_dictionaries:
        return
    n, prompts = state.config.evidence.null_dictionaries, _prompts(state)
    own = own_sets(
        state.minimal_sets,
        state.session.found_each(UNLIMITED_SETS),
        [prompt.id for prompt in prompts],
    )
    asked = {
        f"{kind.value}/{number}": (kind, number)
        for kind in NullKind
        for number in range(_n(kind, n))
    }

    def fallen(key: str, found: Sequence[NullDictionary]) -> bool:
        kind, _ = asked[key]
        ended = state.config.evidence.null_sizes == "bounds" and kind.about_features
        return ended and any(one.kind is kind and does_as_well(own, one.sets) for one in found)

    state.session.remember_dictionaries(
        STAGE,
        list(asked),
        lambda key: _searched(state, prompts, own, *asked[key]),
        spared=fallen,
    )


def price(size: AuditSize) -> Work | None:
    evidence = size.config.evidence
    if not evidence.null_dictionaries:
        return None
    n = sum(_n(kind, evidence.null_dictionaries) for kind in NullKind)
    beside = _n(NullKind.SAME_COSINES, evidence.null_dictionaries)
    prompts, to_the_end = min(evidence.null_prompts, size.audit), evidence.null_sizes == "exact"
    searches = _FLIPPING * n * prompts * (1.0 if to_the_end else _SEARCHED)
    questions = n * prompts + searches * _QUESTIONS * _NULL_SIZE
    own = size.attribution(round(searches) if size.config.minimal.order != "candidates" else 0)
    # Those that do as well are held to the side-effect limits: each set, and a clean run.
    held = _FLIPPING * n if to_the_end else beside
    harmless = held * (prompts + 1) * size.config.side_effects.prompts
    return Work(
        forward_passes=n * prompts + questions + own.forward_passes + harmless,
        alone_layer_tokens=size.whole(prompts) + own.alone_layer_tokens,
        swept_layer_tokens=size.swept(questions + harmless),
        swept_heads=questions + harmless,
        alone_encoded=own.alone_encoded,
        assumed=f"a third of the null dictionaries flip, with {_NULL_SIZE} features, and do worse",
    )


def _n(kind: NullKind, asked: int) -> int:
    """Number of dictionaries of a kind: those that decide nothing only show a size."""
    return asked if kind.about_features else min(asked, _BESIDE)


def _searched(
    state: AuditState,
    prompts: Sequence[Prompt],
    own: Sequence[SearchedSet],
    kind: NullKind,
    number: int,
) -> NullDictionary:
    seed = (state.config.seed, list(NullKind).index(kind), number)
    null = state.with_saes(
        null_suite(state.subject.suite, kind, np.array(state.direction.vector), seed=seed)
    )
    sets = searched_sets(null, prompts, own, number=number)
    return NullDictionary(kind=kind, number=number, sets=sets)


def _prompts(state: AuditState) -> list[Prompt]:
    """The refused prompts that are searched with every dictionary, drawn by the seed."""
    refused, n = state.refused, state.config.evidence.null_prompts
    order = np.random.default_rng(state.config.seed).permutation(len(refused))
    return [refused[i] for i in sorted(order[:n])]
