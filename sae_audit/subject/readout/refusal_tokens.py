"""The first tokens of a refusal: known for a family, or found from the model's own refusals.

A text stands for the first token of its own tokenisation, which is what the model begins an answer
with. Vocabularies that mark a space inside a word's token agree on it in two ways: Gemma's, Llama-3's
and Qwen's put nothing before a text, and their answers follow a newline ("I"); Llama-2's and
Mistral's put a space before every text, and so did their training before every answer ("▁I", the 306
of 2406.11717).
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
"""A token opening fewer of a language's refusals is left out: one odd refusal must not define
refusing."""
_TELLING = 2.0
"""A token must open so many times as large a share of refusals as of other answers: at less, more
than a third of what it opens would be no refusal if there were as many of each."""
_CONTRAST = 4
"""Other answers in a language that tell how those begin; with fewer, those in all languages do."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """How a model answers some prompts unablated."""

    first_ids: Sequence[int]
    texts: Sequence[str]
    """With what marks off their thoughts, where they hold such."""
    languages: Sequence[str]
    """Of the prompts."""

    def complied(self) -> "Answers":
        """Those that a text judge calls no refusal; those not heard to the end of their thoughts are
        neither."""
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
    """What each token stands for, in the order of `ids`."""
    source: str
    """`given`, `family` (published), `openings` (usual in a language, not published) or `found`;
    of several, the least certain: `openings`, then `found`. `none`: none is known and the model was
    heard to refuse nothing, so no answer begins as a refusal and every score is the lowest."""
    n_answers: int = 0
    """Answers to harmful prompts that were listened to; 0 where tokens were known without."""
    note: str = ""
    """What speaks against the tokens, a sentence; empty if nothing does."""


def given_refusal_tokens(tokenizer: Any, texts: Sequence[str]) -> RefusalTokens:
    """The tokens that the texts begin with; a token that several begin with is named by the first.

    Raises:
        AuditError: a text is not in the vocabulary, or begins with a token that is a space alone.
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

    The English ones, published, are always among them: models refuse in English what they were asked
    in a language they know little of. Other languages add their usual openings, as far as their first
    token says something: one that is a space, part of a letter, or one letter of a longer word would
    begin most answers in that script, and is left out.

    None where the family is not known, or one of the languages is not, or has no opening left.
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
    """The first tokens of those completions of harmful prompts that refuse.

    `languages` are those of the prompts: what is rare is judged within each, so that many prompts in
    one language do not hide how another refuses. `harmless` are answers to harmless prompts: a token
    that opens nearly as large a share of what is no refusal is none.

    Where no completion refuses there are no tokens, and none is guessed: `source` is `none`.

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
    """The refusal tokens of a model that was heard in each language of the harmful prompts.

    English has the family's; another language what its own refusals begin with, or its usual openings
    where it refused nothing. A model of no known family has what was found, whatever the language:
    none, where it refused nothing.

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


def _reading(text: str) -> str:
    """`refused`, `complied`, or `unheard`: nothing is said, or nothing but thoughts."""
    answer = answer_behind(text)
    if answer is None or not answer.strip():
        return "unheard"
    return "complied" if SubstringJudge().complied(answer) else "refused"


def _found(tokenizer: Any, harmful: Answers, harmless: Answers) -> dict[str, Counter[int]]:
    """By language, the tokens that open enough of its refusals, with how many they open."""
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
    # A single answer that begins alike is no share.
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
    # One Chinese character or Korean syllable says what one letter does not.
    return unicodedata.name(piece or " ").startswith(("CJK", "HANGUL"))


def _printed(tokenizer: Any, ids: Sequence[int]) -> tuple[str, ...]:
    return tuple(tokenizer.decode([i]).strip() for i in ids)
