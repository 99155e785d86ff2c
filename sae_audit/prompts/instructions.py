"""Instructions: Alpaca and Dolly, whose rows may have an input, and translated ones."""

import re

from sae_audit.errors import AuditError
from sae_audit.prompts.formats import Origin, Reader, Request, SetAside, cell
from sae_audit.prompts.tables import Row
from sae_audit.prompts.types import Label

_SPLITS = re.compile(
    r"(?P<label>harmful|harmless)_"
    r"(?:(?:train|val|test)(?:_\d+_sampled)?|\w+?_translated_(?P<language>[a-z]{2,3}(?:-[a-z]{2,4})?))"
)
"""Names of the splits of 2406.11717 and of their translations, without ending."""


def with_input(column: str) -> Reader:
    """A reader of Alpaca's (`input`) or Dolly's (`context`) columns; rows with one need an option."""

    def read(row: Row, place: str, origin: Origin) -> Request | SetAside:
        given = cell(row, column, place)
        if given and not origin.options.with_input:
            return SetAside("with input")
        text = row.get("instruction")
        if given and not isinstance(text, str):
            raise AuditError(f"{place}: 'instruction' is missing or no text.")
        return Request(
            text=f"{text}\n\n{given}" if given else text,
            # Harmful sets have been published with these columns, so they give no label.
            label=origin.label_by_name or _label_of_split(origin),
            column="instruction",
            category=cell(row, "category", place) if column == "context" else "",
        )

    return read


def back_or_forth_translated(row: Row, place: str, origin: Origin) -> Request | SetAside:
    """A prompt of PolyRefuse, or of the splits of 2406.11717; the file's name gives label and language.

    Back-translated files hold the English text, the translation, and that translated back. The
    translation is read, with its language, as in the other files. A table without translations is in the
    language of its name, or in English if it is back-translated.
    """
    named = _SPLITS.fullmatch(origin.stem)
    language = (named and named["language"]) or ""
    column = "instruction"
    if "instruction_translated" in origin.columns:
        column = "instruction_translated"
        if column not in row:
            return SetAside("not translated")
    elif "instruction_back_translated" in origin.columns:
        column, language = "instruction_back_translated", "en"
    elif "_back_translated_" in origin.stem:
        language = "en"
    return Request(
        text=row.get(column),
        label=_label_of_split(origin) or origin.label_by_name,
        column=column,
        category=cell(row, "category", place),
        language=cell(row, "language", place) or language,
    )


def _label_of_split(origin: Origin) -> Label | None:
    named = _SPLITS.fullmatch(origin.stem)
    return Label(named["label"]) if named else None
