"""Refusal tokens of a loaded model, from its answers to harmful and harmless prompts."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sae_audit.errors import AuditError
from sae_audit.prompts.types import Prompt
from sae_audit.subject.instrument import Subject
from sae_audit.subject.rare_openings import with_rare_openings
from sae_audit.subject.readout.refusal_openings import language_code
from sae_audit.subject.readout.refusal_tokens import (
    NO_ANSWERS,
    Answers,
    RefusalTokens,
    answered_refusal_tokens,
    is_answer,
    is_refusal,
)
from sae_audit.subject.template.chat import Template
from sae_audit.subject.template.thinking import opening_block
from sae_audit.untrusted import shown
from sae_audit.vocabulary import FeatureId

_REFUSAL_SAMPLE = 32
"""Prompts: harmful ones answered to find refusal tokens, all languages together."""
_LANGUAGE_SAMPLE = 16
"""Prompts: minimum of harmful ones per language."""
_CONTRAST_SAMPLE = 16
"""Prompts: harmless ones answered for comparison."""
_ANSWER_TOKENS = 16
_KNOWN_SAMPLE = 8
"""Prompts of each label whose answers are examined if the refusal tokens are known."""
_KNOWN_TOKENS = 6
"""Tokens of each of those answers: enough for a tag that opens a thinking block."""
_ALIKE = 0.9
"""Share of answers with the same first token from which on all count as alike."""


def heard_refusal_tokens(
    subject: Subject,
    config: Any,
    harmful: Sequence[Prompt],
    harmless: Sequence[Prompt],
    *,
    threshold: float = 0.0,
) -> RefusalTokens:
    """The family's tokens, checked on a few answers; without a family, those found in the answers.

    Raises:
        AuditError: answers begin with thoughts, or refusals begin as other answers do.
    """
    check_no_open_thoughts(subject.template)
    known = subject.refusal_tokens
    if known is not None and known.source == "family":
        return replace(known, note=_note(subject, known, harmful, harmless))
    asked = _of_each_language(harmful, _LANGUAGE_SAMPLE, _REFUSAL_SAMPLE)
    answers = _answers(subject, asked, _ANSWER_TOKENS)
    others = _of_each_language(harmless, _CONTRAST_SAMPLE // 2, _CONTRAST_SAMPLE)
    contrast = _answers(subject, others, _ANSWER_TOKENS)
    _check_thoughts(answers, contrast)
    found = answered_refusal_tokens(
        subject.template.tokenizer,
        config,
        answers.first_ids,
        answers.texts,
        answers.languages,
        contrast,
    )
    if not found.ids:
        return replace(found, note=_all_alike(subject, answers, contrast))
    refused = [one for one, text in zip(asked, answers.texts, strict=True) if is_refusal(text)]
    answered = [one for one, text in zip(others, contrast.texts, strict=True) if is_answer(text)]
    return with_rare_openings(found, subject, refused, answered, is_refusal, threshold)


def _all_alike(subject: Subject, *heard: Answers) -> str:
    """A note if all answers of a model that never refused begin with one token; else empty."""
    first = [i for answers in heard for i in answers.first_ids]
    if len(set(first)) > 1:
        return ""
    token = subject.template.tokenizer.decode(first[:1])
    return (
        f"All {len(first)} answers heard begin with “{shown(token)}”; if the answer proper comes "
        "behind it, put it behind the template (answer_prefix)."
    )


def check_answers_end_their_thoughts(
    subject: Subject, prompts: Sequence[Prompt], n_tokens: int
) -> None:
    """Check on a few prompts that answers of `n_tokens` can be judged.

    Raises:
        AuditError: none of the answers leaves its thinking block.
    """
    asked = [(prompt, frozenset[FeatureId]()) for prompt in prompts[:2]]
    answers = subject.generate(asked, n_tokens)
    if answers and all(subject.answer(one) is None for one in answers):
        raise AuditError(never_answered(len(answers), n_tokens))


def never_answered(n: int, n_tokens: int) -> str:
    """The message if none of the answers can be judged."""
    return (
        f"None of {n} answers left its thinking block within {n_tokens} tokens, so none can be "
        "judged; raise answer_tokens, or close the block with answer_prefix."
    )


def _note(
    subject: Subject, known: RefusalTokens, harmful: Sequence[Prompt], harmless: Sequence[Prompt]
) -> str:
    answers = _answers(subject, harmful[:_KNOWN_SAMPLE], _KNOWN_TOKENS)
    contrast = _answers(subject, harmless[:_KNOWN_SAMPLE], _KNOWN_TOKENS)
    _check_thoughts(answers, contrast)
    opened = [sum(i in known.ids for i in one.first_ids) for one in (answers, contrast)]
    n = [len(one.first_ids) for one in (answers, contrast)]
    if not n[1] or min(have / of for have, of in zip(opened, n, strict=True)) < _ALIKE:
        return ""
    named = ", ".join(f"“{text}”" for text in known.texts)
    return (
        f"The family's refusal tokens ({named}) open {opened[0]} of {n[0]} answers to harmful prompts "
        f"and {opened[1]} of {n[1]} to harmless ones: they do not tell refusals from other answers of "
        "this model, unless it refuses both; see refusal_tokens and answer_prefix."
    )


def _check_thoughts(*heard: Answers) -> None:
    blocks = [opening_block(text) for answers in heard for text in answers.texts]
    opened = Counter(block for block in blocks if block is not None)
    if not opened or opened.total() < _ALIKE * len(blocks):
        return
    block = opened.most_common(1)[0][0]
    raise AuditError(
        f"{opened.total()} of {len(blocks)} answers, refusals and others, begin with a thinking block "
        f"({shown(block.opening)}), so that a score would be read from the model's first thought; put a "
        f"closed, empty block behind the template (--set {_setting(block.closed)}), or name "
        "refusal_tokens."
    )


def check_no_open_thoughts(template: Template) -> None:
    """Check the end of the chat template.

    Raises:
        AuditError: it lies inside a thinking block.
    """
    block = template.open_block
    if block is None:
        return
    raise AuditError(
        f"The chat template opens a thinking block ({shown(block.opening)}) and leaves it open, so that "
        "a score would be read from the model's first thought; close it (--set "
        f"{_setting(block.closing + chr(10) * 2)}), or name refusal_tokens."
    )


def _setting(prefix: str) -> str:
    return f"'answer_prefix={json.dumps(prefix, ensure_ascii=False)}'"


def _answers(subject: Subject, prompts: Sequence[Prompt], n_tokens: int) -> Answers:
    if not prompts:
        return NO_ANSWERS
    first_ids, texts = subject.completions(prompts, n_tokens)
    return Answers(
        first_ids=first_ids, texts=texts, languages=[prompt.language for prompt in prompts]
    )


def _of_each_language(prompts: Sequence[Prompt], each: int, together: int) -> list[Prompt]:
    by_language: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        by_language.setdefault(language_code(prompt.language), []).append(prompt)
    n = max(each, together // max(1, len(by_language)))
    return [prompt for own in by_language.values() for prompt in own[:n]]
