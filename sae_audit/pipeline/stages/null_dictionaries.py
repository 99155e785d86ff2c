"""The same search, under the same limits, with dictionaries that know nothing of the model."""

from collections.abc import Sequence

import numpy as np

from sae_audit.config import EvidenceSettings, NullSaesSettings
from sae_audit.controls.dictionary_null import does_as_well, own_sets
from sae_audit.findings import NullDictionary, NullKind, SearchedSet
from sae_audit.findings.stages import NULL_DICTIONARIES, OWN_FLIPS_IN_TEXT, UNLIMITED_SETS
from sae_audit.pipeline.judging import complied
from sae_audit.pipeline.null_dictionary_search import searched_sets
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt
from sae_audit.subject.saes.null_dictionary import null_suite

STAGE = NULL_DICTIONARIES

_BESIDE = 3
"""Largest number of dictionaries of a kind that no claim must beat."""
_NULL_SIZE = 6
"""Assumed number of features of a set that flips, of a third of the dictionaries; others flip none."""
_FLIPPING = 1 / 3
_QUESTIONS = 12
"""Sets that are scored for each feature of a set that is found, in both orders (bundled organism)."""
_SEARCHED = 0.6
"""Share of the prompts that are searched until a dictionary that flips is known to do worse."""


_SEEDS = {
    NullKind.ROTATED: 0,
    NullKind.ROTATED_ABOUT_DIRECTION: 1,
    NullKind.RANDOM_ROWS: 2,
    NullKind.SAME_COSINES: 3,
}


def run(state: AuditState) -> None:
    """Record the null dictionaries' sets; none if no prompt was flipped, or none is asked for.

    Those that the user names are searched to the end: each decides by being beaten or not, and a single
    one with few prompts searched has no interval.
    """
    evidence = state.config.evidence
    prompts = state.drawn_refused(evidence.null_prompts)
    if not state.flipping or not (evidence.null_dictionaries or evidence.null_saes):
        return
    own = own_sets(
        state.minimal_sets,
        state.session.found_each(UNLIMITED_SETS),
        [prompt.id for prompt in prompts],
        state.session.if_found(OWN_FLIPS_IN_TEXT),
    )
    asked = {
        f"{kind.value}/{number}": (kind, number)
        for kind in NullKind
        for number in range(_n(kind, evidence))
    }

    def fallen(key: str, found: Sequence[NullDictionary]) -> bool:
        kind, _ = asked[key]
        ended = evidence.null_sizes == "bounds" and kind.about_features and kind.drawn
        return ended and any(one.kind is kind and does_as_well(own, one.sets) for one in found)

    state.session.remember_dictionaries(
        STAGE,
        list(asked),
        lambda key: _searched(state, prompts, own, *asked[key]),
        spared=fallen,
    )


def price(size: AuditSize) -> Work | None:
    evidence = size.config.evidence
    n = sum(_n(kind, evidence) for kind in NullKind)
    if not n:
        return None
    beside = _n(NullKind.SAME_COSINES, evidence) + _n(NullKind.GIVEN, evidence)
    prompts = min(evidence.null_prompts, size.audit)
    in_text = size.config.confirm == "text" and evidence.null_flips == "as_confirmed"
    # Real sets are larger in text, so that sizes by score end no search.
    to_the_end = in_text or evidence.null_sizes == "exact"
    searches = _FLIPPING * n * prompts * (1.0 if to_the_end else _SEARCHED)
    questions = n * prompts + searches * _QUESTIONS * _NULL_SIZE
    own = size.attribution(round(searches) if size.config.minimal.order != "candidates" else 0)
    # Those that do as well are held to the side-effect limits: each set, and a clean run.
    held = _FLIPPING * n if to_the_end else beside
    harmless = held * (prompts + 1) * size.config.side_effects.prompts
    # Of those that do as well, answers are judged: what ends a kind, and those beside.
    judged = held if in_text else 0
    # What fires on training prompts is read if the settings leave some of it out.
    read = 2 * n * size.train if size.config.candidates.max_harmless_rate < 1.0 else 0
    return Work(
        layer_tokens=size.whole(judged * prompts + read),
        encoded=size.encoded(read),
        heads=judged * prompts,
        steps=judged * size.facts.batches(prompts) * size.config.answer_tokens,
        forward_passes=judged * prompts
        + read
        + n * prompts
        + questions
        + own.forward_passes
        + harmless,
        alone_layer_tokens=size.whole(prompts) + own.alone_layer_tokens,
        swept_layer_tokens=size.swept(questions + harmless),
        swept_heads=questions + harmless,
        alone_encoded=own.alone_encoded,
        assumed=f"a third of the null dictionaries flip, with {_NULL_SIZE} features, and do worse",
    )


def _n(kind: NullKind, evidence: EvidenceSettings) -> int:
    """Number of dictionaries of a kind: those that decide nothing only show a size."""
    if not kind.drawn:
        return len(evidence.null_saes)
    n = evidence.null_dictionaries
    return n if kind.about_features else min(n, _BESIDE)


def _searched(
    state: AuditState,
    prompts: Sequence[Prompt],
    own: Sequence[SearchedSet],
    kind: NullKind,
    number: int,
) -> NullDictionary:
    evidence = state.config.evidence
    if kind.drawn:
        seed = (state.config.seed, _SEEDS[kind], number)
        r = np.array(state.direction.vector)
        suite, name = null_suite(state.subject.suite, kind, r, seed=seed), ""
    else:
        suite, name = dict(state.inputs.null_saes[number]), _name(evidence.null_saes[number])
    null = state.with_saes(suite)
    if state.config.candidates.max_harmless_rate < 1.0:
        # Which features may be candidates is read for each dictionary, and charged to it.
        null.training.features_charged()
    judge = state.judge if evidence.null_flips == "as_confirmed" else None
    sets = searched_sets(
        null,
        prompts,
        own,
        number=number,
        to_the_end=evidence.null_sizes == "exact" or not kind.drawn,
        complied=None if judge is None else lambda asked: complied(null, judge, asked),
    )
    return NullDictionary(kind=kind, number=number, name=name, sets=sets)


def _name(asked: NullSaesSettings) -> str:
    layers = "" if asked.layers is None else f", layers {', '.join(map(str, asked.layers))}"
    return asked.saes + layers
