"""Effects of other sets of the same size, and of ablation on harmless prompts."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain

import numpy as np
from jaxtyping import Float

from sae_audit.controls.comparisons import error_term_control, scale_control, set_control
from sae_audit.controls.rivals import N_PARTS
from sae_audit.findings import (
    Collateral,
    Controls,
    ErrorTermControl,
    FlipScale,
    Rivals,
    ScaleControl,
    SetControl,
)
from sae_audit.findings.stages import CONTROLS, FLIP_SCALES, POOLED_SET
from sae_audit.pipeline.baseline_sets import BaselineSets, baseline_sets
from sae_audit.pipeline.pricing import DISTINCT, SET_SIZE, AuditSize, Work
from sae_audit.pipeline.rival_sets import (
    MOST_HARMLESS,
    N_RANKINGS,
    RivalSets,
    rival_sets,
    rivals_of,
    sets_of_curves,
)
from sae_audit.pipeline.state import Asked, AuditState
from sae_audit.prompts.types import Prompt
from sae_audit.statistics import mean
from sae_audit.vocabulary import ErrorTerm, FeatureSet, Scaled, Score

STAGE = CONTROLS

_COLLATERAL_TOKENS = 16
_COLLATERAL_SETS = 3
"""Number of random sets, at most, whose side effects are averaged."""
_N_PARTS = 6


def run(state: AuditState) -> None:
    """Record the controls; empty if no prompt was flipped."""
    session = state.session

    def compute() -> Controls:
        own, flipped = state.flipping, state.flipped
        baselines, pooled = baseline_sets(state), session.if_found(POOLED_SET)
        session.progress(STAGE, 0, _N_PARTS)
        per_prompt: tuple[SetControl, ...] = ()
        on_pooled: tuple[SetControl, ...] = ()
        collateral: tuple[Collateral, ...] = ()
        against: Rivals | None = None
        rivals = rival_sets(state, baselines) if own else None
        if rivals is not None:
            per_prompt = _per_prompt(state, flipped, own, rivals)
        session.progress(STAGE, 1, _N_PARTS)
        if rivals is not None and pooled is not None:
            features = frozenset(pooled.features)
            held_out = [p for p in state.refused if p.id in pooled.held_out]
            on_pooled = _on_pooled(state, held_out, features, rivals)
            session.progress(STAGE, 2, _N_PARTS)
            against = rivals_of(state, pooled, rivals)
            session.progress(STAGE, 3, _N_PARTS)
            collateral = _collateral(state, features, held_out, rivals)
        session.progress(STAGE, 4, _N_PARTS)
        error_term = _error_term(state, flipped, own) if own else None
        session.progress(STAGE, 5, _N_PARTS)
        ablated = {p.id: own.get(p.id, frozenset(state.pools[p.id])) for p in state.refused}
        on_scales = _on_scales(state, ablated, session.found_each(FLIP_SCALES), baselines)
        session.progress(STAGE, _N_PARTS, _N_PARTS)
        return Controls(
            per_prompt=per_prompt,
            pooled=on_pooled,
            collateral=collateral,
            error_term=error_term,
            scales=on_scales,
            rivals=against,
        )

    session.remember(STAGE, compute, in_parts=True)


def price(size: AuditSize) -> Work:
    random, harmless_prompts = size.config.controls.random_sets, min(size.audit, MOST_HARMLESS)
    others, held_out = 2 * random + N_RANKINGS, size.audit // 2
    questions = size.audit * others + held_out * (others + 1)
    if size.config.ablation_scale.grid:
        questions += size.audit * random
    curves = sets_of_curves(SET_SIZE, random)
    questions += DISTINCT * curves * (held_out + harmless_prompts)
    harmless = size.audit * (2 * min(random, _COLLATERAL_SETS) + N_RANKINGS + 2)
    longer = size.tokens + _COLLATERAL_TOKENS
    error = 3 * size.audit
    # The parts of the direction removed, and what fires where the answer begins.
    parts = N_PARTS * (held_out + harmless_prompts)
    whole = parts + harmless_prompts + size.audit
    attribution = size.attribution(size.train, steps=1)
    answers = 2 * N_RANKINGS * held_out if size.config.confirm == "text" else 0
    return Work(
        forward_passes=questions
        + harmless
        + error
        + whole
        + attribution.forward_passes
        + 2 * answers,
        layer_tokens=size.whole(whole + 2 * answers),
        edited_layer_tokens=size.whole(parts),
        alone_layer_tokens=size.whole(harmless, longer) + attribution.alone_layer_tokens,
        swept_layer_tokens=size.swept(questions + error),
        heads=harmless + whole + answers,
        swept_heads=questions + error + harmless * longer,
        encoded=2 * size.encoded(2 * size.audit) + size.encoded(size.audit),
        alone_encoded=attribution.alone_encoded,
        steps=size.facts.batches(size.audit) * _COLLATERAL_TOKENS
        + (size.facts.batches(answers) * size.config.answer_tokens if answers else 0.0),
        assumed=f"a pooled set of {SET_SIZE} features",
    )


def _per_prompt(
    state: AuditState,
    prompts: Sequence[Prompt],
    own: Mapping[str, FeatureSet],
    rivals: RivalSets,
) -> tuple[SetControl, ...]:
    seed = state.config.seed
    others = {p.id: rivals.all(own[p.id], seed + i, [p]) for i, p in enumerate(prompts)}
    tried = {prompt_id: {"minimal": [own[prompt_id]], **sets} for prompt_id, sets in others.items()}
    return _compared(state, prompts, lambda prompt_id: tried[prompt_id], rivals)


def _on_pooled(
    state: AuditState, prompts: Sequence[Prompt], features: FeatureSet, rivals: RivalSets
) -> tuple[SetControl, ...]:
    tried = {"pooled": [features], **rivals.all(features, state.config.seed, prompts)}
    return _compared(state, prompts, lambda _: tried, rivals)


def _on_scales(
    state: AuditState,
    ablated: Mapping[str, FeatureSet],
    scales: Sequence[FlipScale],
    baselines: BaselineSets,
) -> tuple[ScaleControl, ...]:
    by_id = {prompt.id: prompt for prompt in state.refused}
    seed, score = state.config.seed, state.scaled_scores()
    flipped = [found.prompt_id for found in scales if found.ablated == "minimal_set"]
    # The draws that the full ablation is compared with; all candidates have draws of their own.
    drawn = {prompt_id: seed + i for i, prompt_id in enumerate(flipped)}

    def random_scores(found: FlipScale) -> Float[np.ndarray, " set"]:
        assert found.scale is not None, found
        sets = baselines.random(ablated[found.prompt_id], drawn.get(found.prompt_id, seed))
        return score([(by_id[found.prompt_id], Scaled(one, found.scale)) for one in sets])

    kinds = [[d for d in scales if d.ablated == kind] for kind in ("minimal_set", "candidates")]
    return tuple(
        scale_control(
            found,
            random_scores
            if all(baselines.has_others_enough(ablated[one.prompt_id]) for one in found)
            else None,
        )
        for found in kinds
        if found
    )


def _compared(
    state: AuditState,
    prompts: Sequence[Prompt],
    tried: Callable[[str], dict[str, list[FeatureSet]]],
    rivals: RivalSets,
) -> tuple[SetControl, ...]:
    asked = {prompt.id: [*chain.from_iterable(tried(prompt.id).values())] for prompt in prompts}
    scores = _scores_of(prompts, state.refusal_scores(), asked)
    norms = {prompt.id: rivals.on([prompt]) for prompt in prompts}
    return tuple(
        set_control(
            name,
            scores,
            lambda prompt_id, name=name: tried(prompt_id)[name],
            lambda prompt_id, ablated: norms[prompt_id].removed(ablated),
        )
        # All prompts or none: a share over some of them is not comparable with one over all.
        for name in tried(prompts[0].id)
        if all(name in tried(prompt.id) for prompt in prompts)
    )


def _scores_of(
    prompts: Sequence[Prompt], ask: Asked, asked: Mapping[str, Sequence[FeatureSet]]
) -> dict[str, Score]:
    """Each prompt's set function; the sets in `asked` share batches with those of other prompts."""
    ask([(prompt, one) for prompt in prompts for one in [frozenset(), *asked[prompt.id]]])

    def of(prompt: Prompt) -> Score:
        return lambda sets: ask([(prompt, ablated) for ablated in sets])

    return {prompt.id: of(prompt) for prompt in prompts}


def _collateral(
    state: AuditState, features: FeatureSet, held_out: Sequence[Prompt], rivals: RivalSets
) -> tuple[Collateral, ...]:
    changes = state.subject.collateral(state.audited.harmless, state.ablation)
    others = rivals.all(features, state.config.seed, held_out)
    tried = {"pooled": [features], **{k: sets[:_COLLATERAL_SETS] for k, sets in others.items()}}
    by_set = iter(changes([one for sets in tried.values() for one in sets]))
    found: list[Collateral] = []
    for name, sets in tried.items():
        measured = [next(by_set) for _ in sets]
        kl = np.array([[change.kl for change in row] for row in measured]).mean(axis=0)
        rise = np.array([[change.cross_entropy for change in row] for row in measured])
        found.append(
            Collateral(
                name=name,
                kl=mean(kl, within=(0.0, np.inf)),
                cross_entropy_change=mean(rise.mean(axis=0)),
            )
        )
    return tuple(found)


def _error_term(
    state: AuditState, prompts: Sequence[Prompt], own: Mapping[str, FeatureSet]
) -> ErrorTermControl:
    def scores(term: ErrorTerm) -> dict[str, Score]:
        return _scores_of(prompts, state.refusal_scores(term), {key: [own[key]] for key in own})

    # The same layers as the prompt's own set, so that the two differ by ablation alone.
    layers = {p.id: frozenset(feature.layer for feature in own[p.id]) for p in prompts}
    return error_term_control(
        scores(ErrorTerm.KEPT),
        scores(ErrorTerm.FROZEN),
        scores(ErrorTerm.DROPPED),
        {
            p.id: state.score_of(p, error_term=ErrorTerm.DROPPED, error_layers=layers[p.id])
            for p in prompts
        },
        own,
    )
