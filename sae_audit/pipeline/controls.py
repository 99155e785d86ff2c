"""The controls of one run: what other sets do, what ablation does to harmless prompts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from sae_audit.controls.comparisons import dose_control, error_term_control, set_control
from sae_audit.findings import (
    CandidateSet,
    Collateral,
    Controls,
    DoseControl,
    ErrorTermControl,
    FlipDose,
    MinimalSet,
    PooledSet,
    SetControl,
)
from sae_audit.findings.stages import CONTROLS
from sae_audit.pipeline.rivals import Rivals, find_rivals
from sae_audit.pipeline.session import Session
from sae_audit.pipeline.stages import Pools
from sae_audit.pipeline.training import Training
from sae_audit.prompts.types import LabelledPrompts, Prompt
from sae_audit.statistics import mean
from sae_audit.vocabulary import Dosed, ErrorTerm, FeatureSet, Score


def run_controls(
    session: Session,
    training: Training,
    audit: LabelledPrompts,
    candidates: CandidateSet,
    pools: Pools,
    minimal_sets: Sequence[MinimalSet],
    doses: Sequence[FlipDose],
    pooled: PooledSet | None,
) -> Controls:
    """Everything METHODS asks to stand beside the findings; empty where no prompt was flipped."""

    def compute() -> Controls:
        own = {m.prompt_id: frozenset(m.features) for m in minimal_sets if m.flipped}
        flipped = [prompt for prompt in audit.harmful if prompt.id in own]
        rivals = find_rivals(session, training, candidates)
        total = 5
        session.progress(CONTROLS, 0, total)
        per_prompt = _per_prompt(session, flipped, own, rivals)
        session.progress(CONTROLS, 1, total)
        on_pooled: tuple[SetControl, ...] = ()
        collateral: tuple[Collateral, ...] = ()
        if pooled is not None:
            features = frozenset(pooled.features)
            held_out = [p for p in audit.harmful if p.id in pooled.held_out]
            on_pooled = _on_pooled(session, held_out, features, rivals)
            session.progress(CONTROLS, 2, total)
            collateral = _collateral(session, audit.harmless, features, rivals)
        session.progress(CONTROLS, 3, total)
        error_term = _error_term(session, flipped, own) if own else None
        session.progress(CONTROLS, 4, total)
        ablated = {p.id: own.get(p.id, frozenset(pools[p.id])) for p in audit.harmful}
        on_doses = _on_doses(session, audit.harmful, ablated, doses, rivals)
        session.progress(CONTROLS, total, total)
        return Controls(
            per_prompt=per_prompt,
            pooled=on_pooled,
            collateral=collateral,
            error_term=error_term,
            doses=on_doses,
        )

    return session.remember(CONTROLS, compute, in_parts=True)


def _per_prompt(
    session: Session,
    prompts: Sequence[Prompt],
    own: Mapping[str, FeatureSet],
    rivals: Rivals,
) -> tuple[SetControl, ...]:
    if not prompts:
        return ()
    seed = session.config.seed
    others = {p.id: rivals.all(own[p.id], seed + i) for i, p in enumerate(prompts)}
    tried = {prompt_id: {"minimal": [own[prompt_id]], **sets} for prompt_id, sets in others.items()}
    return _compared(session, prompts, lambda prompt_id: tried[prompt_id])


def _on_pooled(
    session: Session, prompts: Sequence[Prompt], features: FeatureSet, rivals: Rivals
) -> tuple[SetControl, ...]:
    tried = {"pooled": [features], **rivals.all(features, session.config.seed)}
    return _compared(session, prompts, lambda _: tried)


def _on_doses(
    session: Session,
    prompts: Sequence[Prompt],
    ablated: Mapping[str, FeatureSet],
    doses: Sequence[FlipDose],
    rivals: Rivals,
) -> tuple[DoseControl, ...]:
    by_id = {prompt.id: prompt for prompt in prompts}
    seed, score = session.config.seed, session.dosed_scores()
    flipped = [found.prompt_id for found in doses if found.ablated == "minimal_set"]
    # The same draws that stand beside the whole ablation; all candidates have draws of their own.
    drawn = {prompt_id: seed + i for i, prompt_id in enumerate(flipped)}

    def random_scores(found: FlipDose) -> Float[np.ndarray, " set"]:
        assert found.dose is not None, found
        sets = rivals.random(ablated[found.prompt_id], drawn.get(found.prompt_id, seed))
        return score([(by_id[found.prompt_id], Dosed(one, found.dose)) for one in sets])

    kinds = [[d for d in doses if d.ablated == kind] for kind in ("minimal_set", "candidates")]
    return tuple(
        dose_control(
            found,
            random_scores
            if all(rivals.has_others_enough(ablated[one.prompt_id]) for one in found)
            else None,
            seed=seed,
        )
        for found in kinds
        if found
    )


def _compared(
    session: Session,
    prompts: Sequence[Prompt],
    tried: Callable[[str], dict[str, list[FeatureSet]]],
) -> tuple[SetControl, ...]:
    scores: dict[str, Score] = {prompt.id: session.score_of(prompt) for prompt in prompts}
    return tuple(
        set_control(
            name,
            scores,
            lambda prompt_id, name=name: tried(prompt_id)[name],
            seed=session.config.seed,
        )
        for name in tried(prompts[0].id)
    )


def _collateral(
    session: Session, harmless: Sequence[Prompt], features: FeatureSet, rivals: Rivals
) -> tuple[Collateral, ...]:
    changes = session.subject.collateral(harmless, session.ablation)
    tried = {"pooled": [features], **rivals.all(features, session.config.seed)}
    found: list[Collateral] = []
    for name, sets in tried.items():
        measured = [changes(ablated) for ablated in sets]
        kl = np.array([[change.kl for change in row] for row in measured]).mean(axis=0)
        rise = np.array([[change.cross_entropy for change in row] for row in measured])
        found.append(
            Collateral(
                name=name,
                kl=mean(kl, seed=session.config.seed),
                cross_entropy_change=mean(rise.mean(axis=0), seed=session.config.seed),
            )
        )
    return tuple(found)


def _error_term(
    session: Session, prompts: Sequence[Prompt], own: Mapping[str, FeatureSet]
) -> ErrorTermControl:
    variants = {term: replace(session.ablation, error_term=term) for term in ErrorTerm}
    return error_term_control(
        {p.id: session.score_of(p, variants[ErrorTerm.KEPT]) for p in prompts},
        {p.id: session.score_of(p, variants[ErrorTerm.FROZEN]) for p in prompts},
        {p.id: session.score_of(p, variants[ErrorTerm.DROPPED]) for p in prompts},
        {
            # The same layers as the prompt's own set, so that the two differ by ablation alone.
            p.id: session.score_of(
                p,
                variants[ErrorTerm.DROPPED],
                error_layers=frozenset(feature.layer for feature in own[p.id]),
            )
            for p in prompts
        },
        own,
        seed=session.config.seed,
    )
