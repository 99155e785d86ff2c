"""Flips confirmed in text: answers generated under ablation and read by a judge."""

from collections.abc import Sequence

import numpy as np

from sae_audit.errors import AuditError
from sae_audit.findings import Confirmation, Estimate, TextCheck
from sae_audit.findings.stages import CONFIRMATION, POOLED_SET
from sae_audit.margins import answers
from sae_audit.pipeline.baseline_sets import baseline_sets
from sae_audit.pipeline.judging import PromptsWithSets, checked
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.state import AuditState
from sae_audit.statistics import ratio, share
from sae_audit.subject import never_answered
from sae_audit.vocabulary import FeatureSet

STAGE = CONFIRMATION


def run(state: AuditState) -> None:
    """Judge every refused prompt's answer, clean, under its own set and under a matched random one;
    every harmless prompt's; and the pooled set's on the prompts it was not built on.

    The texts are read by the judge and stored nowhere.
    """
    judge, session = state.judge, state.session
    if judge is None or not state.refused:
        return

    def compute() -> Confirmation:
        cases, checks = _cases(state), list[TextCheck]()
        for done, (case, questions) in enumerate(cases.items()):
            session.progress(STAGE, done, len(cases))
            checks += checked(state, judge, case, questions)
        session.progress(STAGE, len(cases), len(cases))

        def complied(case: str) -> Estimate | None:
            own = [check.complied for check in checks if check.case == case]
            return share(sum(own), len(own)) if own else None

        clean = complied("clean")
        if clean is None:
            raise AuditError(never_answered(len(cases["clean"]), state.config.answer_tokens))
        return Confirmation(
            judge=judge.name,
            answer_tokens=state.config.answer_tokens,
            checks=tuple(checks),
            n_not_judged=sum(map(len, cases.values())) - len(checks),
            n_not_flipped=len(state.refused) - len(state.flipping),
            confirmed=complied("ablated"),
            complied_clean=clean,
            complied_random=complied("random"),
            agreement=_agreement(checks),
            expected_agreement=_expected_agreement(checks),
        )

    session.remember(STAGE, compute, in_parts=True)


def price(size: AuditSize) -> Work | None:
    if size.config.confirm != "text":
        return None
    n_answers = 4.5 * size.audit
    batches = 4 * size.facts.batches(size.audit) + size.facts.batches(size.audit / 2)
    return Work(
        # Every piece of work is also charged the clean run of its prompt.
        forward_passes=2 * n_answers,
        layer_tokens=size.whole(2 * n_answers),
        heads=n_answers,
        steps=batches * size.config.answer_tokens,
    )


def _cases(state: AuditState) -> dict[str, PromptsWithSets]:
    """The questions of each case, in the order in which they are asked."""
    own, pooled = state.flipping, state.session.if_found(POOLED_SET)
    ablated = [(prompt, own[prompt.id]) for prompt in state.flipped]
    held_out = [p for p in state.refused if pooled is not None and p.id in pooled.held_out]
    features: FeatureSet = frozenset(pooled.features if pooled is not None else ())
    return {
        "clean": [(prompt, frozenset()) for prompt in state.refused],
        "ablated": ablated,
        "random": _random_sets(state, ablated),
        "pooled": [(prompt, features) for prompt in held_out],
        "harmless": [(prompt, frozenset()) for prompt in state.audited.harmless],
    }


def _random_sets(state: AuditState, ablated: PromptsWithSets) -> PromptsWithSets:
    """The first random set that each prompt's own is compared with; for all prompts or none."""
    if not ablated:
        return []
    baselines, seed = baseline_sets(state), state.config.seed
    if not all(baselines.has_others_enough(own) for _, own in ablated):
        return []
    return [(p, baselines.random(own, seed + i)[0]) for i, (p, own) in enumerate(ablated)]


def _agreement(checks: Sequence[TextCheck]) -> Estimate:
    by_prompt: dict[str, list[bool]] = {}
    for check in checks:
        by_prompt.setdefault(check.prompt_id, []).append(check.agrees)
    agreeing, judged = (np.array([float(f(own)) for own in by_prompt.values()]) for f in (sum, len))
    if (agreeing == judged).all() or not agreeing.any():
        # Alike, but each prompt could have differed.
        return share(len(judged) if agreeing.any() else 0, len(judged))
    return ratio(agreeing, judged, within=(0.0, 1.0))


def _expected_agreement(checks: Sequence[TextCheck]) -> float:
    by_score = float(np.mean([answers(check.score) for check in checks]))
    by_judge = float(np.mean([check.complied for check in checks]))
    return by_score * by_judge + (1.0 - by_score) * (1.0 - by_judge)
