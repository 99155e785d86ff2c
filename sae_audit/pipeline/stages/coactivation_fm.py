"""Features that a factorization machine on co-activations adds to the filtered set (2509.09708).

Training prompts train the machine, half of the refused audit prompts give the filtered set, validation
prompts say how many features are added, and the other half of the audit prompts compares the set with
others: nothing was built or chosen on those.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from sae_audit.controls.filtering import (
    added_points,
    fewest_that_flip_most,
    pooled_ranking,
    rank_p_value,
    set_controls,
)
from sae_audit.findings import (
    AddedPoint,
    CoactivationFm,
    ComparedSet,
    Estimate,
    PooledSet,
    SetControl,
)
from sae_audit.findings.stages import COACTIVATION_FM, POOLED_SET
from sae_audit.interactions.coactivation import Examples, Trained, trained, varying
from sae_audit.margins import refuses
from sae_audit.pipeline.baseline_sets import baseline_sets
from sae_audit.pipeline.pricing import DISTINCT, AuditSize, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import LabelledPrompts, Prompt
from sae_audit.statistics import mean, share
from sae_audit.vocabulary import FeatureId, FeatureSet

STAGE = COACTIVATION_FM

_TOGETHER = 16
"""Number of prompts whose features are read at once: of all features, only the machine's are kept."""
_N_SETS = 9
_ANSWER_TOKENS = 16
"""Length of the harmless answers that measure side effects, as in `InstrumentBase.collateral`."""


class _Asked(NamedTuple):
    """What the machine is asked to learn."""

    features: list[FeatureId]
    train: Examples
    fresh: Examples
    n_not_as_labelled: int


def run(state: AuditState) -> None:
    """Record the machine; nothing unless it is asked for and some building prompt was flipped."""
    session = state.session
    pooled = session.if_found(POOLED_SET)
    if not state.config.coactivation.enabled or pooled is None:
        return
    session.remember(STAGE, lambda: _found(state, pooled))


def price(size: AuditSize) -> Work | None:
    settings, config = size.config.coactivation, size.config
    if not settings.enabled:
        return None
    read = 2 * (size.train + size.validation)
    held_out = size.audit / 2
    per_prompt = 6 + settings.n_permutations + 2 * config.controls.random_sets
    questions = DISTINCT * (
        size.validation * (len(settings.added) + 1) + held_out * (per_prompt + 1)
    )
    harmless = size.audit * (_N_SETS + 2)
    answered = _N_SETS * held_out if config.confirm == "text" else 0
    longer = size.tokens + _ANSWER_TOKENS
    return Work(
        forward_passes=read + questions + harmless + 2 * answered,
        layer_tokens=size.whole(read + 2 * answered),
        alone_layer_tokens=size.whole(harmless, longer),
        swept_layer_tokens=size.swept(questions),
        heads=harmless + answered,
        swept_heads=questions + harmless * longer,
        encoded=size.encoded(read),
        steps=size.facts.batches(size.audit) * _ANSWER_TOKENS
        + (_N_SETS * size.facts.batches(held_out) * config.answer_tokens if answered else 0),
        assumed=f"{settings.n_permutations + 1} machines of up to {size.n_candidates:,} features, "
        "seconds each, not counted",
    )


def _found(state: AuditState, pooled: PooledSet) -> CoactivationFm:
    settings, seed = state.config.coactivation, state.config.seed
    built = [m for m in state.minimal_sets if m.flipped and m.prompt_id in pooled.built_on]
    filtered = frozenset(pooled_ranking(built, ()))
    asked = _examples(state, filtered)
    reason = _nothing_to_train(state, asked, filtered)
    machine = (
        trained(
            asked.train,
            asked.fresh,
            asked.features,
            filtered,
            solver=settings.solver,
            n_permutations=settings.n_permutations,
            seed=seed,
        )
        if not reason
        else None
    )
    if machine is not None and not machine.ranking:
        machine, reason = None, "the machine gives no further candidate a part in refusal"
    n_added, points = 0, tuple[AddedPoint, ...]()
    if machine is not None:
        validation = {p.id: state.score_of(p) for p in state.prompts.validation.harmful}
        points = added_points(validation, filtered, machine.ranking, settings.added)
        n_added = fewest_that_flip_most(points)
    held_out = [prompt for prompt in state.refused if prompt.id in pooled.held_out]
    scores = {prompt.id: state.score_of(prompt) for prompt in held_out}
    sets = _sets(state, filtered, machine, n_added)
    effects = set_controls(scores, sets)
    return CoactivationFm(
        solver=settings.solver,
        n_refused=int(asked.train.refused.sum()),
        n_answered=int((~asked.train.refused).sum()),
        n_not_as_labelled=asked.n_not_as_labelled,
        n_features=int(varying(asked.train).sum()),
        filtered=tuple(sorted(filtered)),
        added=machine.added(n_added) if machine else (),
        points=points,
        fits=machine.fits(n_added) if machine else (),
        pairs=machine.pairs() if machine else (),
        null_weight=machine.null_weight if machine else 0.0,
        built_on=tuple(one.prompt_id for one in built),
        held_out=tuple(scores),
        sets=_compared(state, held_out, {name: sets[name] for name in effects}, effects),
        p_value=rank_p_value(scores, sets["filtered_fm"][0], sets["filtered_permuted"])
        if machine
        else 1.0,
        n_permutations=settings.n_permutations if machine else 0,
        reason=reason,
    )


def _examples(state: AuditState, filtered: FeatureSet) -> _Asked:
    """Training and validation prompts, whatever their label, with the activations of all candidates and
    of filtered features from wider pools."""
    features = sorted(filtered.union(state.candidates.ranked))
    clean = {one.prompt_id: one.score for one in state.scores}
    splits = state.inputs.splits

    def examples(prompts: LabelledPrompts) -> Examples:
        both = list(prompts)
        return Examples(
            activations=_peaks(state, both, features),
            refused=np.array([refuses(clean[one.id]) for one in both], dtype=bool),
        )

    n_all, n_own = (len(list(one)) for one in (splits.train, state.prompts.train))
    return _Asked(features, examples(splits.train), examples(splits.validation), n_all - n_own)


def _peaks(
    state: AuditState, prompts: Sequence[Prompt], features: Sequence[FeatureId]
) -> Float[np.ndarray, "prompt feature"]:
    found: list[Float[np.ndarray, "prompt feature"]] = []
    for start in range(0, len(prompts), _TOGETHER):
        peaks = state.subject.peak_activations(prompts[start : start + _TOGETHER])
        found.append(np.stack([peaks[f.layer][:, f.index] for f in features], axis=1))
    return np.concatenate(found).astype(np.float64)


def _nothing_to_train(state: AuditState, asked: _Asked, filtered: FeatureSet) -> str:
    """Why there is nothing to train or to choose; empty if there is."""
    refused = asked.train.refused
    if refused.all() or not refused.any():
        return "all training prompts are refused, or none is"
    varies = {f for f, one in zip(asked.features, varying(asked.train), strict=True) if one}
    if len(varies) < 2 or varies <= filtered:
        return "filtering keeps every candidate whose activation varies over the training prompts"
    if not state.prompts.validation.harmful:
        return "no validation prompt is refused, so none can say how many features to add"
    return ""


def _sets(
    state: AuditState, filtered: FeatureSet, machine: Trained | None, n_added: int
) -> dict[str, list[FeatureSet]]:
    """The sets to compare, by origin; without a machine, the filtered set and its own rivals."""
    baselines, seed = baseline_sets(state), state.config.seed
    sets: dict[str, list[FeatureSet]] = {"filtered": [filtered]}
    whole = filtered
    if machine is not None:
        added = frozenset(machine.ranking[:n_added])
        whole = filtered | added
        sets |= {
            "filtered_fm": [whole],
            "added_alone": [added],
            "filtered_linear": [filtered.union(machine.linear_ranking[:n_added])],
            "filtered_permuted": [
                filtered.union(one[:n_added]) for one in machine.permuted_rankings
            ],
        }
        if baselines.has_others_enough(added):
            random = baselines.random(added, seed)
            sets["filtered_random"] = [filtered | one for one in random]
    ranked = {"linear_probe": baselines.probe, "top_cosine": baselines.candidates}
    for name, order in ranked.items():
        if len(order) >= len(whole):
            sets[name] = [frozenset(order[: len(whole)])]
    if baselines.has_others_enough(whole):
        sets["random_matched"] = baselines.random(whole, seed)
    return sets


def _compared(
    state: AuditState,
    held_out: Sequence[Prompt],
    sets: dict[str, list[FeatureSet]],
    effects: dict[str, SetControl],
) -> tuple[ComparedSet, ...]:
    """Each origin's effect with its side effects, and with the judge's readings if flips are confirmed
    in text."""
    changes = state.subject.collateral(state.audited.harmless, state.ablation)
    found = list[ComparedSet]()
    by_set = changes([own[0] for own in sets.values()])
    for (name, own), measured in zip(sets.items(), by_set, strict=True):
        found.append(
            ComparedSet(
                name=name,
                n_features=len(own[0]),
                flipped=effects[name].flipped,
                score_drop=effects[name].score_drop,
                complied=_complied(state, held_out, own[0]),
                kl=mean([one.kl for one in measured]),
                cross_entropy_change=mean([one.cross_entropy for one in measured]),
            )
        )
    return tuple(found)


def _complied(state: AuditState, prompts: Sequence[Prompt], ablated: FeatureSet) -> Estimate | None:
    """Share of the prompts' judged answers that comply; None without a judge or a judged answer."""
    if state.judge is None:
        return None
    subject = state.subject
    answers = subject.generate(
        [(prompt, ablated) for prompt in prompts], state.config.answer_tokens, state.ablation
    )
    # An answer still in its thoughts is neither compliance nor refusal.
    judged = [
        (prompt.text, text)
        for prompt, answer in zip(prompts, answers, strict=True)
        if (text := subject.answer(answer)) is not None
    ]
    verdicts = state.judge.complied_all(judged)
    return share(sum(verdicts), len(judged)) if judged else None
