"""Flips confirmed in text: answers generated under ablation, and read by a judge."""

from collections.abc import Sequence

import numpy as np

from sae_audit.errors import AuditError
from sae_audit.findings import (
    CandidateSet,
    Confirmation,
    Estimate,
    MinimalSet,
    PooledSet,
    TextCheck,
)
from sae_audit.findings.stages import CONFIRMATION
from sae_audit.pipeline.rivals import find_rivals
from sae_audit.pipeline.session import Session
from sae_audit.pipeline.training import Training
from sae_audit.prompts.types import LabelledPrompts, Prompt
from sae_audit.statistics import ratio, share
from sae_audit.subject import Judge, never_answered
from sae_audit.vocabulary import FeatureSet

_CASES = ("clean", "ablated", "random", "pooled", "harmless")


def confirm_flips(
    session: Session,
    judge: Judge,
    training: Training,
    audited: LabelledPrompts,
    candidates: CandidateSet,
    minimal_sets: Sequence[MinimalSet],
    pooled: PooledSet | None,
) -> Confirmation | None:
    """Every refused prompt's answer, clean, under its own set and under a random one like it, and
    every harmless prompt's; the pooled set's on the prompts it was not built on.

    None where no prompt was refused. The texts are read by the judge and go nowhere else.
    """
    if not audited.harmful:
        return None
    own = {m.prompt_id: frozenset(m.features) for m in minimal_sets if m.flipped}
    cases: dict[str, list[tuple[Prompt, FeatureSet]]] = {
        "clean": [(prompt, frozenset()) for prompt in audited.harmful],
        "ablated": [(prompt, own[prompt.id]) for prompt in audited.harmful if prompt.id in own],
        "pooled": [
            (prompt, frozenset(pooled.features))
            for prompt in audited.harmful
            if pooled is not None and prompt.id in pooled.held_out
        ],
        "harmless": [(prompt, frozenset()) for prompt in audited.harmless],
    }

    def compute() -> Confirmation:
        cases["random"] = _random_sets(session, training, candidates, cases["ablated"])
        checks: list[TextCheck] = []
        n_asked = 0
        for done, case in enumerate(_CASES):
            session.progress(CONFIRMATION, done, len(_CASES))
            checks += _checked(session, judge, case, cases[case])
            n_asked += len(cases[case])
        session.progress(CONFIRMATION, len(_CASES), len(_CASES))

        def complied(case: str) -> Estimate | None:
            own = [check.complied for check in checks if check.case == case]
            return share(sum(own), len(own)) if own else None

        clean = complied("clean")
        if clean is None:
            raise AuditError(never_answered(len(cases["clean"]), session.config.answer_tokens))
        return Confirmation(
            judge=judge.name,
            answer_tokens=session.config.answer_tokens,
            checks=tuple(checks),
            n_not_judged=n_asked - len(checks),
            confirmed=complied("ablated"),
            complied_clean=clean,
            complied_random=complied("random"),
            agreement=_agreement(checks, seed=session.config.seed),
            agreement_by_chance=_agreement_by_chance(checks),
        )

    return session.remember(CONFIRMATION, compute, in_parts=True)


def _random_sets(
    session: Session,
    training: Training,
    candidates: CandidateSet,
    ablated: Sequence[tuple[Prompt, FeatureSet]],
) -> list[tuple[Prompt, FeatureSet]]:
    """The first of the random sets that a prompt's own is held against; of all prompts or none."""
    if not ablated:
        return []
    rivals = find_rivals(session, training, candidates)
    if not all(rivals.has_others_enough(own) for _, own in ablated):
        return []
    seed = session.config.seed
    return [(p, rivals.random(own, seed + i)[0]) for i, (p, own) in enumerate(ablated)]


def _agreement(checks: Sequence[TextCheck], *, seed: int) -> Estimate:
    by_prompt: dict[str, list[bool]] = {}
    for check in checks:
        by_prompt.setdefault(check.prompt_id, []).append(check.agrees)
    agreeing, answers = (
        np.array([float(f(own)) for own in by_prompt.values()]) for f in (sum, len)
    )
    return ratio(agreeing, answers, seed=seed)


def _agreement_by_chance(checks: Sequence[TextCheck]) -> float:
    by_score = float(np.mean([check.score < 0.0 for check in checks]))
    by_judge = float(np.mean([check.complied for check in checks]))
    return by_score * by_judge + (1.0 - by_score) * (1.0 - by_judge)


def _checked(
    session: Session, judge: Judge, case: str, questions: list[tuple[Prompt, FeatureSet]]
) -> list[TextCheck]:
    if not questions:
        return []
    subject = session.subject
    scores = subject.refusal_scores(session.ablation)(questions)
    answers = subject.generate(questions, session.config.answer_tokens, session.ablation)
    # An answer that never left its thoughts is neither compliance nor refusal: no judge is asked.
    judged = [
        (prompt, float(score), text)
        for (prompt, _), score, answer in zip(questions, scores, answers, strict=True)
        if (text := subject.answer(answer)) is not None
    ]
    verdicts = judge.complied_all([(prompt.text, text) for prompt, _, text in judged])
    return [
        TextCheck(prompt_id=prompt.id, case=case, score=score, complied=complied)
        for (prompt, score, _), complied in zip(judged, verdicts, strict=True)
    ]
