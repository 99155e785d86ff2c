"""Answers under ablation, read by the judge; the texts are stored nowhere."""

from collections.abc import Sequence

from sae_audit.findings import TextCheck
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt
from sae_audit.subject import Judge
from sae_audit.vocabulary import FeatureSet

PromptsWithSets = Sequence[tuple[Prompt, FeatureSet]]


def complied(state: AuditState, judge: Judge, questions: PromptsWithSets) -> list[bool | None]:
    """Whether the judge calls each answer compliance; None if it was not asked, since an answer still in
    its thoughts is neither compliance nor refusal."""
    subject = state.subject
    answers = subject.generate(questions, state.config.answer_tokens, state.ablation)
    texts = [subject.answer(answer) for answer in answers]
    judged = [
        (q[0].text, text) for q, text in zip(questions, texts, strict=True) if text is not None
    ]
    verdicts = iter(judge.complied_all(judged))
    return [None if text is None else next(verdicts) for text in texts]


def checked(
    state: AuditState, judge: Judge, case: str, questions: PromptsWithSets
) -> list[TextCheck]:
    """The judge's verdicts on the model's answers, with the scores of the same runs."""
    if not questions:
        return []
    scores = state.subject.refusal_scores(state.ablation)(questions)
    verdicts = complied(state, judge, questions)
    return [
        TextCheck(prompt_id=prompt.id, case=case, score=float(score), complied=verdict)
        for (prompt, _), score, verdict in zip(questions, scores, verdicts, strict=True)
        if verdict is not None
    ]
