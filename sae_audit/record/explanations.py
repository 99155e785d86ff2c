"""Explanations of features in somebody's file, or in Neuronpedia's export, read within bounds.

Read are JSON (`{"L16/25312": "text"}`, or a list of rows), JSON lines, also gzipped, CSV, and a folder
of such files. A row names a feature and its text: `feature` and `explanation`, or as Neuronpedia writes
it (`layer`, which begins with the layer's number, `index` and `description`; other keys are ignored).
"""

import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from sae_audit.catalog import neuronpedia_source
from sae_audit.errors import AuditError
from sae_audit.record.facts import SaeFacts
from sae_audit.untrusted import SMALL_BYTES, parsed_json, read_bytes, read_text, shown
from sae_audit.vocabulary import FeatureId

_ENDS = (".json", ".jsonl", ".csv", ".json.gz", ".jsonl.gz", ".csv.gz")
_MOST_FILES = 20_000
"""Files of a folder: Neuronpedia's export of a whole model has 128 for each of some 30 layers."""
_MOST_BYTES = 4 << 30
"""Bytes of all files together, unpacked: that export with its embeddings has about 2 GB."""
_LONGEST_LINE = 1 << 20
_LONGEST = 300
"""Characters of one explanation that are kept."""
_CHUNK = 1 << 20


def read_explanations(
    path: Path, saes: Sequence[SaeFacts], wanted: Collection[FeatureId]
) -> dict[FeatureId, str]:
    """By feature, the first explanation of each that is wanted and has one; unprintable characters are
    escaped.

    Raises:
        AuditError: a file is missing, too large or not of a form that is read, or it explains other
            SAEs' features.
    """
    reading = _Reading(saes={sae.layer: sae for sae in saes}, wanted=frozenset(wanted))
    for file in _files(path):
        reading.read(file)
    reading.check(path)
    return reading.found


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(islice((p for p in path.rglob("*") if _is_read(p)), _MOST_FILES + 1))
    if not found:
        raise AuditError(
            f"{shown(path)} holds no explanations; files that are read end in {', '.join(_ENDS)}."
        )
    if len(found) > _MOST_FILES:
        raise AuditError(
            f"{shown(path)} holds more than {_MOST_FILES:,} files; name the folder of one layer."
        )
    return found


def _is_read(path: Path) -> bool:
    return path.name.endswith(_ENDS) and path.is_file()


@dataclass
class _Reading:
    """What was read so far."""

    saes: Mapping[int, SaeFacts]
    wanted: frozenset[FeatureId]

    def __post_init__(self) -> None:
        self.found: dict[FeatureId, str] = {}
        self._left = _MOST_BYTES
        self._n_of_these = 0
        self._others: Counter[str] = Counter()
        # A row of a wanted feature holds its number; others need no parsing.
        numbers = "|".join(sorted({str(feature.index) for feature in self.wanted})) or "(?!)"
        self._may_be_wanted = re.compile(rf"(?<!\d)(?:{numbers})(?!\d)")

    def read(self, file: Path) -> None:
        kind = file.name.removesuffix(".gz")
        unpacked = self._unpacked if file.name.endswith(".gz") else _as_it_is
        if kind.endswith(".csv"):
            self._rows(_csv_rows(self._text(file, unpacked), file), file)
        elif kind.endswith(".jsonl"):
            self._rows(self._lines(file, unpacked), file)
        else:
            self._rows(_json_rows(parsed_json(self._text(file, unpacked), shown(file)), file), file)

    def check(self, path: Path) -> None:
        """Refuse a file of which no row is about an audited SAE."""
        if self._n_of_these:
            return
        if self._others:
            source, _ = self._others.most_common(1)[0]
            raise AuditError(
                f"{shown(path)} explains features of {shown(source, 80)}, and the run audited other "
                "SAEs; give the export of those that `sae-audit feature RUN` links to."
            )
        raise AuditError(
            f"{shown(path)} explains no feature of the audited layers "
            f"{', '.join(map(str, sorted(self.saes)))}; is it the right file?"
        )

    def _rows(self, rows: Iterator[tuple[int, Any]], file: Path) -> None:
        for number, row in rows:
            told = _told(row, f"{shown(file)}, row {number}")
            if told is not None:
                self._note(*told)

    def _note(self, feature: FeatureId, source: str, text: str) -> None:
        sae = self.saes.get(feature.layer)
        if sae is None or feature.index >= sae.width:
            return
        known = neuronpedia_source(sae.release, sae.id, sae.layer).partition("/")[2]
        if source and known and source != known:
            self._others[source] += 1
            return
        self._n_of_these += 1
        if feature in self.wanted and text.strip():
            self.found.setdefault(feature, shown(text.strip(), _LONGEST))

    def _lines(
        self, file: Path, unpacked: Callable[[Path], Iterator[bytes]]
    ) -> Iterator[tuple[int, Any]]:
        for number, line in enumerate(_split(unpacked(file), file), start=1):
            text = _decoded(line, file)
            if not text.strip():
                continue
            # The first row is parsed whatever it holds: it says what the file is.
            if number > 1 and not self._may_be_wanted.search(text):
                continue
            yield number, parsed_json(text, f"{shown(file)}, line {number}")

    def _text(self, file: Path, unpacked: Callable[[Path], Iterator[bytes]]) -> str:
        whole, size = io.BytesIO(), 0
        for chunk in unpacked(file):
            size += len(chunk)
            if size > SMALL_BYTES:
                raise AuditError(
                    f"{shown(file)} has more than {SMALL_BYTES >> 20} MB; write it as JSON lines."
                )
            whole.write(chunk)
        return _decoded(whole.getvalue(), file)

    def _unpacked(self, file: Path) -> Iterator[bytes]:
        packed = read_bytes(file)
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(packed)) as stream:
                while chunk := stream.read(_CHUNK):
                    self._left -= len(chunk)
                    if self._left < 0:
                        raise AuditError(
                            f"{shown(file)} and the files before it unpack to more than "
                            f"{_MOST_BYTES >> 30} GB; give those of fewer layers."
                        )
                    yield chunk
        except (OSError, EOFError, zlib.error) as error:
            raise AuditError(f"{shown(file)} is no whole gzip file: {shown(error)}.") from error


def _as_it_is(file: Path) -> Iterator[bytes]:
    yield read_text(file).encode()


def _decoded(data: bytes, file: Path) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AuditError(f"{shown(file)} is not UTF-8 text; save it as UTF-8.") from error


def _split(chunks: Iterator[bytes], file: Path) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        longest = max(map(len, (*lines, rest)))
        if longest > _LONGEST_LINE:
            raise AuditError(
                f"{shown(file)} has a line of {longest:,} bytes, and {_LONGEST_LINE:,} are the most; is "
                "it JSON lines, a row each?"
            )
        yield from lines
    yield rest


def _json_rows(found: Any, file: Path) -> Iterator[tuple[int, Any]]:
    if isinstance(found, dict) and not {"description", "explanation"} & found.keys():
        rows = ({"feature": name, "explanation": text} for name, text in found.items())
        yield from enumerate(rows, start=1)
    elif isinstance(found, list):
        yield from enumerate(found, start=1)
    elif isinstance(found, dict):
        yield 1, found
    else:
        _refuse(shown(file), found)


def _csv_rows(text: str, file: Path) -> Iterator[tuple[int, Any]]:
    try:
        yield from enumerate(csv.DictReader(io.StringIO(text)), start=1)
    except csv.Error as error:
        raise AuditError(f"{shown(file)} is no CSV: {shown(error)}.") from error


def _told(row: Any, where: str) -> tuple[FeatureId, str, str] | None:
    """Feature, Neuronpedia's source (empty if not named) and text of a row; None of one without text.

    Raises:
        AuditError: the row says no feature.
    """
    if not isinstance(row, dict):
        _refuse(where, row)
    text = row.get("explanation", row.get("description"))
    if text is None:
        return None
    if not isinstance(text, str):
        _refuse(where, row)
    name, layer, index = row.get("feature"), row.get("layer"), row.get("index")
    if isinstance(name, str):
        try:
            return FeatureId.parse(name.strip()), "", text
        except ValueError:
            _refuse(where, row)
    number = re.match(r"(\d{1,5})(?=-|$)", str(layer).strip())
    digits = str(index).strip()
    if number is None or not re.fullmatch(r"\d{1,9}", digits):
        _refuse(where, row)
    source = str(layer).strip()
    return FeatureId(int(number[1]), int(digits)), "" if source.isdigit() else source, text


def _refuse(where: str, row: Any) -> NoReturn:
    raise AuditError(
        f"{where} is no explanation ({shown(row, 60)}); it needs `feature` (L16/25312) and "
        "`explanation`, or Neuronpedia's `layer`, `index` and `description`."
    )
