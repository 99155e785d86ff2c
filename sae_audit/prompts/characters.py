"""Which characters a prompt and its names may hold."""

import re

from sae_audit.errors import AuditError
from sae_audit.prompts import bounds
from sae_audit.untrusted import shown, unprintable

_STRANGE = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_BLANK = " \t\r\n\xa0\xad\u2028\u2029\u200b\u200c\u200d\u2060\u3000\ufeff"
"""A text of these alone is empty to whoever looks at it."""


def checked_text(text: object, column: str, place: str) -> str:
    """A prompt's text, without spaces around it.

    Raises:
        AuditError: no text, an empty one, or one with a character that no request is written with.
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
    """The first character that a prompt is not written with, spelled out; None if there is none.

    Refused are halves of characters, which no file can hold and no tokenizer reads, control characters
    but for tab and line breaks, and those that open a stretch of turned text (embeddings, overrides,
    isolates): what stands on a page is then not what the model reads. Kept is what real text has:
    joiners of letters and emoji, the marks that Arabic and Hebrew keyboards write (U+200E, U+200F,
    U+061C), which turn nothing behind them, soft hyphens, spaces without width.
    """
    if text.isprintable():
        return None
    found = _STRANGE.search(text)
    return None if found is None else shown(found[0])


def checked_name(text: str, what: str, place: str) -> str:
    """An id, a category or a language: one line that can be printed as it is.

    Raises:
        AuditError: it is too long, or holds a character that is not printed.
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
