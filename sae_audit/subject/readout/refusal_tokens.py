"""Refusal tokens, the first tokens of refusals: known for a family, or found in the model's answers.

A text stands for the first token of its own tokenisation, as at the start of an answer. This holds for
vocabularies that mark a space inside a word's token: Gemma's, Llama-3's and Qwen's put nothing before
a text, and their answers follow a newline ("I"); Llama-2's and Mistral's put a space before every
text, as their training did before every answer ("▁I", the 306 of 2406.11717).
"""

import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from sae_audit.errors import AuditError
from sae_audit.subject.judges.substring import SubstringJudge
from sae_audit.subject.readout.refusal_openings import ENGLISH, OPENINGS, family_of, language_code
from sae_audit.subject.template.thinking import answer_behind
from sae_audit.untrusted import shown

_MIN_SHARE = 0.05
"""Smallest share of a language's refusals that a refusal token opens; excludes a single odd refusal."""
_TELLING = 2.0
"""Smallest ratio of a token's share of refusals to its share of other answers; below it, more than a
third of the answers that it opens would be no refusals, given as many of each."""
_CONTRAST = 4
"""Fewest other answers for a comparison within a language; with fewer, all languages are pooled."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The unablated model's answers to some prompts."""

    first_ids: Sequence[int]
    texts: Sequence[str]
    """Texts of the answers, including the marks of their thoughts, if any."""
    languages: Sequence[str]
    """Languages of the prompts."""

    def complied(self) -> "Answers":
        """Answers that a text judge calls no refusal, except those that end inside their thoughts."""
        kept = [i for i, text in enumerate(self.texts) if _reading(text) == "complied"]
        return Answers(
            first_ids=[self.first_ids[i] for i in kept],
            texts=[self.texts[i] for i in kept],
            languages=[self.languages[i] for i in kept],
        )


NO_ANSWERS = Answers(first_ids=(), texts=(), languages=())


@dataclass(frozen=True, kw_only=True)
class RefusalTokens:
    ids: tuple[int, ...]
    texts: tuple[str, ...]
    """Text of each token, in the order of `ids`."""
    source: str
    """`given`, `family` (published), `openings` (usual in a language, unpublished) or `found`; of
    several, the least certain: `openings`, then `found`. `none`: none is known and the model refused
    nothing, so every score is the lowest."""
    n_answers: int = 0
    """Number of answers to harmful prompts that were examined; 0 if the tokens were known without."""
    n_refused: int = 0
    """Number of training prompts heard to be refused in words; 0 if none was asked for its score."""
    n_scored: int = 0
    """Number of these that score as refused."""
    note: str = ""
    """A reservation about the tokens, as a sentence; empty if there is none."""


def given_refusal_tokens(tokenizer: Any, texts: Sequence[str]) -> RefusalTokens:
    """The first tokens of the texts; a token shared by several texts is named by the first of them.

    Raises:
        AuditError: a text is not in the vocabulary, or its first token is a bare space.
    """
    named: dict[int, str] = {}
    for text in texts:
        first = _first_token(tokenizer, text)
        if first is None:
            raise AuditError(f"The refusal token {text!r} is not in the model's vocabulary.")
        if text.strip() and not tokenizer.decode([first]).strip():
            raise AuditError(
                f"In the model's vocabulary the refusal token {text!r} begins with a space alone, "
                "which begins other answers too; name words that it has whole."
            )
        named.setdefault(first, text)
    return RefusalTokens(ids=tuple(named), texts=tuple(named.values()), source="given")


def family_refusal_tokens(
    tokenizer: Any, config: Any, languages: Collection[str] = ()
) -> RefusalTokens | None:
    """The refusal tokens of the model's family, for prompts in these languages ("" is English).

    The published English ones are always included: models refuse in English if they know little of the
    prompt's language. Other languages add their usual openings, unless the first token is a space, part
    of a letter, or one letter of a longer word: those begin most answers in that script.

    None if the family or one of the languages is unknown, or a language has no opening left.
    """
    family = family_of(config.model_type, config.vocab_size)
    if family is None:
        return None
    published = given_refusal_tokens(tokenizer, family.openings)
    named = dict(zip(published.ids, published.texts, strict=True))
    source = "family"
    for language in sorted({language_code(language) for language in languages} - {ENGLISH}):
        usual = _telling(tokenizer, OPENINGS.get(language, ()))
        if not usual:
            return None
        named = {**usual, **named}
        source = "openings"
    ordered = [*published.ids, *(i for i in named if i not in published.ids)]
    return RefusalTokens(ids=tuple(ordered), texts=tuple(named[i] for i in ordered), source=source)


def found_refusal_tokens(
    tokenizer: Any,
    first_ids: Sequence[int],
    completions: Sequence[str],
    languages: Sequence[str] | None = None,
    harmless: Answers = NO_ANSWERS,
) -> RefusalTokens:
    """The first tokens of the refusals among completions of harmful prompts.

    `languages` are those of the prompts: rarity is judged within each, so that a frequent language
    does not hide the refusals of another. `harmless` are answers to harmless prompts: a token that
    opens nearly as large a share of them is no refusal token.

    If no completion refuses, there are no tokens and `source` is `none`.

    Raises:
        AuditError: there are refusals, and they begin as other answers do.
    """
    spoken = Answers(
        first_ids=first_ids,
        texts=completions,
        languages=languages or [""] * len(completions),
    )
    found = _found(tokenizer, spoken, harmless)
    total = sum(found.values(), start=Counter[int]())
    ids = tuple(i for i, _ in total.most_common())
    return RefusalTokens(
        ids=ids,
        texts=_printed(tokenizer, ids),
        source="found" if ids else "none",
        n_answers=len(completions),
    )


def answered_refusal_tokens(
    tokenizer: Any,
    config: Any,
    first_ids: Sequence[int],
    completions: Sequence[str],
    languages: Sequence[str],
    harmless: Answers = NO_ANSWERS,
) -> RefusalTokens:
    """The refusal tokens of a model, from its answers in each language of the harmful prompts.

    English has the family's; another language the openings of its own refusals, or its usual ones if
    it refused nothing. A model of unknown family has those found in its refusals, in any language;
    none if it refused nothing.

    Raises:
        AuditError: there are refusals, and they begin as other answers do.
    """
    spoken = Answers(first_ids=first_ids, texts=completions, languages=languages)
    found = _found(tokenizer, spoken, harmless)
    silent = {language_code(language) for language in languages} - set(found)
    known = family_refusal_tokens(tokenizer, config, silent)
    heard = sum((n for code, n in found.items() if code != ENGLISH), start=Counter[int]())
    if known is None or not heard:
        return known or found_refusal_tokens(tokenizer, first_ids, completions, languages, harmless)
    more = tuple(i for i, _ in heard.most_common() if i not in known.ids)
    return RefusalTokens(
        ids=known.ids + more,
        texts=known.texts + _printed(tokenizer, more),
        source="openings" if known.source == "openings" else "found",
        n_answers=len(completions),
    )


def is_refusal(text: str) -> bool:
    """Whether an answer, its thoughts with their marks included, refuses in words."""
    return _reading(text) == "refused"


def is_answer(text: str) -> bool:
    """Whether an answer, its thoughts with their marks included, is one and refuses nothing."""
    return _reading(text) == "complied"


def _reading(text: str) -> str:
    """`refused`, `complied`, or, if the answer is empty or thoughts alone, `unheard`."""
    answer = answer_behind(text)
    if answer is None or not answer.strip():
        return "unheard"
    return "complied" if SubstringJudge().complied(answer) else "refused"


def _found(tokenizer: Any, harmful: Answers, harmless: Answers) -> dict[str, Counter[int]]:
    """By language, the tokens that open enough of its refusals, with the number they open."""
    counts: dict[str, Counter[int]] = {}
    for first, text, language in zip(
        harmful.first_ids, harmful.texts, harmful.languages, strict=True
    ):
        if _reading(text) == "refused":
            counts.setdefault(language_code(language), Counter())[first] += 1
    usual = {
        language: Counter({i: n for i, n in one.items() if n >= _MIN_SHARE * one.total()})
        for language, one in counts.items()
    }
    others = [harmful.complied(), harmless.complied()]
    telling = {
        language: Counter({i: n for i, n in one.items() if _is_telling(i, language, one, others)})
        for language, one in usual.items()
    }
    if usual and not any(telling.values()):
        _refuse_alike(tokenizer, sum(usual.values(), start=Counter[int]()))
    return {language: one for language, one in telling.items() if one}


def _is_telling(
    token: int, language: str, refusals: Counter[int], others: Sequence[Answers]
) -> bool:
    first = [
        (i, language_code(one))
        for answers in others
        for i, one in zip(answers.first_ids, answers.languages, strict=True)
    ]
    here = [i for i, one in first if one == language]
    contrast = here if len(here) >= _CONTRAST else [i for i, _ in first]
    opened = contrast.count(token)
    # A single answer with the same beginning is not counted.
    if opened < 2:
        return True
    return refusals[token] / refusals.total() >= _TELLING * opened / len(contrast)


def _refuse_alike(tokenizer: Any, opened: Counter[int]) -> NoReturn:
    tokens = ", ".join(repr(tokenizer.decode([i])) for i, _ in opened.most_common(3))
    raise AuditError(
        f"The model's refusals begin with {shown(tokens)}, and so do its other answers, so that its "
        "first token does not tell them apart; put what they begin with behind the template "
        "(answer_prefix), or name tokens that tell refusals (refusal_tokens)."
    )


def _first_token(tokenizer: Any, text: str) -> int | None:
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    return tokens[0] if tokens and tokens[0] != tokenizer.unk_token_id else None


def _telling(tokenizer: Any, openings: Sequence[str]) -> dict[int, str]:
    first = {opening: _first_token(tokenizer, opening) for opening in openings}
    return {
        i: tokenizer.decode([i]).strip()
        for opening, i in first.items()
        if i is not None and _tells(tokenizer.decode([i]).strip(), opening.split()[0])
    }


def _tells(piece: str, word: str) -> bool:
    if not word.startswith(piece):  # part of a letter, printed as something else
        return False
    if piece == word or len(piece) > 1:
        return True
    # One Chinese character or Korean syllable is as informative as a word.
    return unicodedata.name(piece or " ").startswith(("CJK", "HANGUL"))


def _printed(tokenizer: Any, ids: Sequence[int]) -> tuple[str, ...]:
    return tuple(tokenizer.decode([i]).strip() for i in ids)
