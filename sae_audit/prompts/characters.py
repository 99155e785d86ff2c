"""The characters that a prompt and its names may hold."""

import re

from sae_audit.errors import AuditError
from sae_audit.prompts import bounds
from sae_audit.untrusted import shown, unprintable

_STRANGE = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_BLANK = " \t\r\n\xa0\xad\u2028\u2029\u200b\u200c\u200d\u2060\u3000\ufeff"
"""Characters that look empty: a text of these alone counts as empty."""


def checked_text(text: object, column: str, place: str) -> str:
    """A prompt's text, stripped.

    Raises:
        AuditError: It is missing, empty, or has a character that no request is written with.
    """
    if text is None or (isinstance(text, str) and not text.strip(_BLANK)):
        raise AuditError(f"{place}: {shown(column)!r} is missing or empty.")
    if not isinstance(text, str):
        found = text if isinstance(text, int | float) else type(text).__name__
        raise AuditError(f"{place}: {shown(column)} is {found}, a string is needed.")
    strange = _strange_in_text(text)
    if strange is not None:
        raise AuditError(
            f"{place}: the text holds the character {strange}, which no request is written with; take "
            "it out."
        )
    return text.strip().strip("\ufeff")


def _strange_in_text(text: str) -> str | None:
    """The first unusual character of a prompt, escaped; None if there is none.

    Refused are lone surrogates, which no file or tokenizer can hold, control characters except tab and
    line breaks, and characters that open a stretch of reversed text (embeddings, overrides, isolates),
    as the page would then differ from the model's input. Kept are joiners of letters and emoji, the
    marks of Arabic and Hebrew keyboards (U+200E, U+200F, U+061C), which reverse nothing after them,
    soft hyphens and zero-width spaces.
    """
    if text.isprintable():
        return None
    found = _STRANGE.search(text)
    return None if found is None else shown(found[0])


def checked_name(text: str, what: str, place: str) -> str:
    """An id, a category or a language: one printable line.

    Raises:
        AuditError: It is too long, or has a non-printing character.
    """
    strange = None if text.isprintable() else unprintable(text) or _line_break(text)
    if strange is not None:
        raise AuditError(
            f"{place}: the {what} {shown(text, 80)!r} holds the character {strange}; take it out, or "
            "name the source (?name=...) if it comes from a file's name."
        )
    if len(text) > bounds.NAME_CHARACTERS:
        raise AuditError(
            f"{place}: the {what} has {len(text):,} characters; at most {bounds.NAME_CHARACTERS} are "
            "read."
        )
    return text


def _line_break(text: str) -> str | None:
    return next((shown(character) for character in text if character in "\n\r\t"), None)
