"""Formats of prompts: the columns that identify each, and the reader of its rows."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from sae_audit.errors import AuditError
from sae_audit.prompts.columns import reason_beside
from sae_audit.prompts.known import KnownSet
from sae_audit.prompts.labels import is_called_harmless, label_by_name, published_stem
from sae_audit.prompts.options import Options
from sae_audit.prompts.tables import Row
from sae_audit.prompts.types import Label
from sae_audit.untrusted import shown

NO_TEXT = frozenset({"with an image", "multimodal", "no text"})
"""Reasons that no option overrides: such rows are about something other than text."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The file of the rows."""

    shown: str
    """Name in messages."""
    path: PurePosixPath
    """Published path; in a repository, it begins with the repository's name."""
    options: Options
    known: KnownSet | None = None
    is_remote: bool = False
    columns: frozenset[str] = field(default=frozenset())
    """All columns of the table, answers included."""

    @property
    def name(self) -> str:
        return self.path.name.casefold()

    @property
    def stem(self) -> str:
        """The file's name without ending, case and part number."""
        return published_stem(self.path)

    @property
    def functional(self) -> str:
        return self.options.functional or "standard"

    @property
    def label_by_name(self) -> Label | None:
        return label_by_name(self.path, is_remote=self.is_remote)

    @property
    def label_of_harmful_format(self) -> Label | None:
        """Harmful, for a format of harmful sets only; None if the name contradicts it."""
        is_harmless = is_called_harmless(self.path, is_remote=self.is_remote)
        return None if is_harmless else Label.HARMFUL


@dataclass(frozen=True, kw_only=True)
class Request:
    """A row's request; `label` is None if the format has none."""

    text: object
    label: Label | None
    column: str
    """Column of the text."""
    category: str = ""
    language: str = ""
    own_id: str = ""


@dataclass(frozen=True)
class SetAside:
    """A row that is left out unless requested; the reason is counted."""

    reason: str


Reader = Callable[[Row, str, Origin], Request | SetAside]
"""Function of a row, its place and its file."""


@dataclass(frozen=True, kw_only=True)
class Format:
    name: str
    columns: frozenset[str]
    """Columns that identify this format, if no earlier one fits."""
    read: Reader
    options: frozenset[str] = frozenset()
    """Options of this format only."""
    contexts: frozenset[str] = frozenset()
    """Columns besides the request that its reader joins, counts or refuses itself."""


def cell(row: Row, column: str, place: str) -> str:
    """A short text: an id, a category, a language. Numbers become text, lists of texts are joined.

    Raises:
        AuditError: The cell holds anything else.
    """
    found = row.get(column, "")
    if isinstance(found, dict) and found and all(isinstance(said, bool) for said in found.values()):
        # BeaverTails: categories by name, each true or false.
        found = [str(name) for name, said in found.items() if said]
    parts = found if isinstance(found, list) else [found]
    if any(isinstance(part, dict | list | set | tuple | bytes) for part in parts):
        raise AuditError(
            f"{place}: {shown(column)} is {type(found).__name__}, a text or a number is needed."
        )
    return ", ".join(str(part).strip() for part in parts)


def beside(row: Row, read: frozenset[str]) -> SetAside | None:
    """Why a row is more than its text, such as an image or a context in an unread column."""
    reasons = (reason_beside(column) for column, held in row.items() if held and column not in read)
    return next((SetAside(why) for why in reasons if why is not None), None)
