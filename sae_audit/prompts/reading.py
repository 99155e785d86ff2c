"""One file of a source into prompts with their labels, ids and places."""

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from sae_audit.errors import AuditError
from sae_audit.prompts import bounds
from sae_audit.prompts.characters import checked_name, checked_text
from sae_audit.prompts.columns import ANSWERS
from sae_audit.prompts.formats import Format, Origin, Request, SetAside, beside, cell
from sae_audit.prompts.labels import LabelColumns, agreed, label_columns, label_of_column
from sae_audit.prompts.locating import Location
from sae_audit.prompts.published import BY_COLUMN, FORMATS, OWN
from sae_audit.prompts.tables import Row, Table, read_table, shown_columns
from sae_audit.prompts.types import Label, Prompt
from sae_audit.untrusted import shown

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]+)*")


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A prompt and its place."""

    prompt: Prompt
    place: str


def read_file(
    file: Path, path: PurePosixPath, location: Location, *, is_one_of_several: bool
) -> tuple[list[Placed], Counter[str]]:
    """The prompts of one file, and the number of rows set aside by reason.

    Raises:
        AuditError: The format is unknown, a row is broken, or its label is unknown or contradicted.
    """
    origin = _origin(file, path, location)
    table = read_table(file, origin.shown)
    origin = replace(origin, columns=table.columns)
    known = _format_of(table, origin)
    reading = _Reading(
        origin=origin,
        format=known,
        language_column=_language_column(table, origin),
        # A named column of requests makes the format unknown, so its columns give no labels.
        label_columns=LabelColumns() if known is BY_COLUMN else label_columns(table.columns),
        begins="/".join(
            [location.prefix, *([str(path.with_suffix(""))] if is_one_of_several else [])]
        ),
        own_ids=set(),
    )
    read: list[Placed] = []
    set_aside: Counter[str] = Counter()
    for number, (place, row) in enumerate(table.rows, start=1):
        request = reading.request(row, place)
        if isinstance(request, SetAside):
            set_aside[request.reason] += 1
            continue
        if reading.lacks_label(request, row):
            set_aside["no label"] += 1
            continue
        identity = reading.identity(request, number)
        read.append(Placed(prompt=reading.prompt(request, row, place, identity), place=place))
    return read, set_aside


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """Reading of one file's rows."""

    origin: Origin
    format: Format
    language_column: str
    label_columns: LabelColumns
    begins: str
    """Start of the ids."""
    own_ids: set[str]
    """The rows' own ids seen so far."""

    def request(self, row: Row, place: str) -> Request | SetAside:
        origin = self.origin
        if self.format is not BY_COLUMN and self.format.name != OWN:
            more = beside(row, self.format.contexts)
            if more is not None:
                return more
        request = self.format.read(row, place, origin)
        if isinstance(request, SetAside):
            return request
        if origin.known is not None and not origin.known.holds(request.category):
            return SetAside("other category")
        if isinstance(request.text, str) and len(request.text) > bounds.TEXT_CHARACTERS:
            return SetAside(f"longer than {bounds.TEXT_CHARACTERS:,} characters")
        return request

    def identity(self, request: Request, number: int) -> str:
        if self.format.name != OWN:
            return f"{self.begins}/{_within(request.own_id, number, self.own_ids)}"
        name = self.origin.options.name
        return f"{name}/{request.own_id}" if name else request.own_id

    def prompt(self, request: Request, row: Row, place: str, identity: str) -> Prompt:
        origin, options = self.origin, self.origin.options
        category, language = request.category, request.language
        for option, column in (("category", options.category), ("language", self.language_column)):
            if column and column == request.column:
                raise AuditError(
                    f"{place}: {option} is to be the column {shown(request.column)!r}, which holds the "
                    "requests; name another."
                )
        if options.category:
            category = cell(row, options.category, place)
        if options.language:
            column = self.language_column
            language = cell(row, column, place) if column else options.language
        return Prompt(
            id=checked_name(identity, "id", place),
            text=checked_text(request.text, request.column, place),
            label=self.label(request, row, place),
            category=checked_name(category, "category", place),
            language=checked_name(
                language or (origin.known.language if origin.known else ""), "language", place
            ),
        )

    def lacks_label(self, request: Request, row: Row) -> bool:
        """Whether labels come only from columns, and these are empty in this row."""
        names = [*self.label_columns.words, *(name for name, _ in self.label_columns.yes_is)]
        is_labelled = self.origin.options.label or request.label or self.origin.known
        return bool(names) and not is_labelled and not any(name in row for name in names)

    def label(self, request: Request, row: Row, place: str) -> Label:
        """The label by a named column; else by a column of labels, the format or name, or the option."""
        wanted = self.origin.options.label
        if wanted and wanted not in set(Label):
            return label_of_column(row, wanted, place)
        said = self.label_columns.said(row, place)
        stated, by = said or (request.label, "")
        if stated is None and self.origin.known is not None:
            stated = self.origin.known.only_label
        if not wanted:
            self.label_columns.check_either(row, stated, place)
        if stated is None and not wanted:
            raise AuditError(
                f"{self.origin.shown} does not say whether its prompts are harmful or harmless; name it "
                "with ?label=harmful, ?label=harmless or ?label=safe_lookalike (or the column that says "
                "it)."
            )
        if stated is not None and wanted and agreed({stated, Label(wanted)}) != wanted:
            teller = f"the column {shown(by)!r}" if by else "its file"
            raise AuditError(
                f"{place}: this prompt is {stated.value} by {teller}, which label={wanted} contradicts; "
                "leave the option out, or say that the file is none of those "
                f"(?text={request.column}&label={wanted})."
            )
        if wanted:
            return Label(wanted)
        assert stated is not None, "no label"
        return stated


def _origin(file: Path, path: PurePosixPath, location: Location) -> Origin:
    if location.repository is None:
        return Origin(shown=shown(file), path=path, options=location.options)
    return Origin(
        shown=shown(f"{location.repository}:{path}"),
        path=PurePosixPath(location.repository.name) / path,
        options=location.options,
        known=location.known,
        is_remote=True,
    )


def _format_of(table: Table, origin: Origin) -> Format:
    """The first format that fits.

    Raises:
        AuditError: None fits, an option names a missing column, or an option belongs to another format.
    """
    options = origin.options
    for option, column in (("text", options.text), ("category", options.category)):
        if column and column not in table.columns:
            raise AuditError(
                f"{origin.shown}: {option} is to be the column {shown(column)!r}, but the columns are "
                f"{shown_columns(table.columns)}."
            )
        if column in ANSWERS:
            raise AuditError(
                f"{origin.shown}: the column {column!r} holds answers, which are dropped; name another."
            )
    found = BY_COLUMN if options.text else _fitting(table, origin)
    for option in sorted({"functional", "with_input", "style"} & options.given - found.options):
        raise AuditError(
            f"{origin.shown}: the option {option} is none of this file, which is read as {found.name}."
        )
    return found


def _fitting(table: Table, origin: Origin) -> Format:
    for known in FORMATS:
        if known.columns <= table.columns:
            return known
    raise AuditError(
        f"{origin.shown} is in no known format; its columns are {shown_columns(table.columns)}. "
        f"{_advice(table, origin)}"
    )


def _advice(table: Table, origin: Origin) -> str:
    names = sorted(table.columns)
    if any(name.lstrip().startswith(("#", "sep=")) for name in names):
        return "Its first line seems to stand above the header: remove that line."
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        return "Its cells seem to be separated by other marks than its ending says; save it with commas."
    which = (
        "which one holds the requests and what they are: ?text=COLUMN&label=harmful (or harmless, or "
        "the column that says it)"
    )
    if origin.path.suffix.lower() not in {".csv", ".tsv"}:
        return f"Say {which}."
    if table.seems_headless:
        return (
            "Its first line seems to be no header: write one above it (id,text,label), or save one "
            f"prompt a line as .txt; if it is a header, say {which}."
        )
    return f"Say {which}; or write a header above the first line, if that is none."


def _language_column(table: Table, origin: Origin) -> str:
    """The column that `language=` names; empty if it names a language, or is absent."""
    language = origin.options.language
    # Sets with one column per language: ?text=it&language=it; `id` means Indonesian, not a column.
    is_name = language in {origin.options.text, "id"} and _LANGUAGE.fullmatch(language)
    if language in table.columns and not is_name:
        return language
    if language and not _LANGUAGE.fullmatch(language):
        raise AuditError(
            f"{origin.shown}: language is {shown(language)!r}, which is neither a language (en, pt-BR) "
            f"nor one of the columns {shown_columns(table.columns)}."
        )
    return ""


def _within(own_id: str, number: int, seen: set[str]) -> str:
    """The row's own id; its number if it has none; both if the id was seen before."""
    if not own_id:
        return str(number)
    if own_id in seen:
        return f"{own_id}#{number}"
    seen.add(own_id)
    return own_id
