"""Rows of finished models stored with the bench's output, so that an interrupted bench resumes."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

import sae_audit
from sae_audit.bench.cases import Case
from sae_audit.bench.results import Row
from sae_audit.errors import AuditError
from sae_audit.hashing import sha256_of_files
from sae_audit.record.layout import make_folder, write_file
from sae_audit.untrusted import read_json

T = TypeVar("T")


class Stored(Generic[T]):
    """A folder with one file per model; what another code version made is not read."""

    def __init__(self, folder: Path, of: Any, *, settings: str = "") -> None:
        """`of` is the type T; `settings` are those of the bench that the files' content depends on."""
        self._folder = folder
        self._adapter: TypeAdapter[T] = TypeAdapter(of)
        make_folder(folder)
        code = Path(sae_audit.__file__).parent
        self._identity = f"{sha256_of_files(sorted(code.rglob('*.py')))} {settings}"

    def kept(self, name: str, compute: Callable[[], T]) -> T:
        """What is stored under the name, else computed and stored."""
        path = self._folder / f"{name.replace(' ', '-')}.json"
        found = self._read(path)
        if found is not None:
            return found
        made = compute()
        rows: Any = self._adapter.dump_python(made, mode="json")
        written = {"identity": self._identity, "rows": rows}
        write_file(path, json.dumps(written, indent=1).encode())
        return made

    def _read(self, path: Path) -> T | None:
        """The content of a file of this version; None if the file is missing or foreign."""
        if not path.exists():
            return None
        try:
            kept = read_json(path)
            if isinstance(kept, dict) and kept.get("identity") == self._identity:
                return self._adapter.validate_python(kept.get("rows"))
        except (AuditError, ValidationError):
            return None
        return None


class StoredRows(Stored[list[Row]]):
    """The rows of each planted model."""

    def __init__(self, folder: Path, *, n_prompts: int) -> None:
        super().__init__(folder, list[Row], settings=str(n_prompts))

    def remembered(self, case: Case, compute: Callable[[], Sequence[Row]]) -> list[Row]:
        """The rows of a case, read if stored, else computed and stored."""
        return self.kept(str(case), lambda: list(compute()))
