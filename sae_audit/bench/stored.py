"""Rows of finished models stored with the bench's output, so that an interrupted bench resumes."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

import sae_audit
from sae_audit.bench.cases import Case
from sae_audit.bench.results import Row
from sae_audit.errors import AuditError
from sae_audit.hashing import sha256_of_files
from sae_audit.record.layout import make_folder, write_file
from sae_audit.untrusted import read_json

_ROWS = TypeAdapter(list[Row])


class StoredRows:
    """A folder with one file per model; rows of another code version are not read."""

    def __init__(self, folder: Path, *, n_prompts: int) -> None:
        self._folder = folder
        make_folder(folder)
        code = Path(sae_audit.__file__).parent
        self._identity = f"{sha256_of_files(sorted(code.rglob('*.py')))} {n_prompts}"

    def remembered(self, case: Case, compute: Callable[[], Sequence[Row]]) -> list[Row]:
        """The rows of a case, read if stored, else computed and stored."""
        path = self._folder / f"{str(case).replace(' ', '-')}.json"
        kept = self._kept(path)
        if kept is not None:
            return kept
        rows = list(compute())
        written = {"identity": self._identity, "rows": [asdict(row) for row in rows]}
        write_file(path, json.dumps(written, indent=1).encode())
        return rows

    def _kept(self, path: Path) -> list[Row] | None:
        """The rows in a file of this version; None if the file is missing or foreign."""
        if not path.exists():
            return None
        try:
            kept = read_json(path)
            if isinstance(kept, dict) and kept.get("identity") == self._identity:
                return _ROWS.validate_python(kept.get("rows"))
        except (AuditError, ValidationError):
            return None
        return None
