"""Run folders that no audit wrote: each a small change to a good one.

`CHANGES` are by name; each is given a copy of a good run's folder and makes it bad. `HARMLESS` are
those that must open all the same.
"""

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

Change = Callable[[Path], None]

CHANGES: dict[str, Change] = {}
TENSOR_FILES = ("means", "means_by_group", "random_directions", "successive_directions")
TEXTS = ("config.yaml", "manifest.json", "findings.json")


def _sql(*statements: str) -> Change:
    def change(folder: Path) -> None:
        connection = sqlite3.connect(folder / "run.sqlite")
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    return change


def _payload(stage: str, payload: str) -> Change:
    return _sql(f"UPDATE records SET payload = '{payload}' WHERE stage = '{stage}'")


def edited(stage: str, edit: Callable[[Any], Any]) -> Change:
    """Every row of a stage, its JSON edited."""

    def change(folder: Path) -> None:
        connection = sqlite3.connect(folder / "run.sqlite")
        rows = connection.execute(
            "SELECT rowid, payload FROM records WHERE stage = ?", (stage,)
        ).fetchall()
        for rowid, payload in rows:
            edited = json.dumps(edit(json.loads(payload)))
            connection.execute("UPDATE records SET payload = ? WHERE rowid = ?", (edited, rowid))
        connection.commit()
        connection.close()

    return change


def _half(old: bytes) -> bytes:
    """The first half, and on into a word: settings cut between two lines are whole, the rest default."""
    end = len(old) // 2
    while end < len(old) - 1 and not old[end - 1 : end + 1].isalpha():
        end += 1
    return old[:end]


def _bytes(name: str, edit: Callable[[bytes], bytes]) -> Change:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_bytes(edit(path.read_bytes()))

    return change


def _json(name: str, edit: Callable[[dict[str, Any]], Any]) -> Change:
    return _bytes(name, lambda old: json.dumps(edit(json.loads(old))).encode())


def _replaced_by(name: str, make: Callable[[Path], object]) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return change


def _tensors(name: str, edit: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Change:
    def change(folder: Path) -> None:
        path = folder / "tensors" / f"{name}.safetensors"
        save_file(edit(dict(load_file(path))), path)

    return change


def _every(
    found: dict[str, np.ndarray], edit: Callable[[np.ndarray], np.ndarray]
) -> dict[str, Any]:
    return {key: np.ascontiguousarray(edit(array)) for key, array in found.items()}


STAGES = (
    *("scores", "sae_quality", "direction", "direction_check", "successive_directions"),
    *("sae_coverage", "candidates", "widening", "minimal_sets", "minimal_set_families"),
    *("flip_scales", "null_search", "pooled_set", "interactions", "cascades", "controls"),
)
for stage in STAGES:
    CHANGES[f"{stage}: empty object"] = _payload(stage, "{}")
    CHANGES[f"{stage}: no JSON"] = _payload(stage, "{not json")
    CHANGES[f"{stage}: another type"] = _payload(stage, "[1, 2]")
    CHANGES[f"{stage}: a blob"] = _sql(
        f"UPDATE records SET payload = x'ff00' WHERE stage = '{stage}'"
    )
for stage in ("scores", "behaviour", "direction", "candidates", "controls", "widening"):
    CHANGES[f"{stage}: gone"] = _sql(f"DELETE FROM records WHERE stage = '{stage}'")
for stage in ("scores", "search_null", "sae_quality", "controls", "pooled_set"):
    CHANGES[f"{stage}: twice"] = _sql(
        f"INSERT INTO records SELECT stage, key || 'x', payload, 1, 1, 1 FROM records "
        f"WHERE stage = '{stage}'"
    )
for name in TEXTS:
    CHANGES[f"{name}: gone"] = lambda folder, name=name: (folder / name).unlink()
    CHANGES[f"{name}: empty"] = _bytes(name, lambda _: b"")
    CHANGES[f"{name}: cut"] = _bytes(name, _half)
    CHANGES[f"{name}: not UTF-8"] = _bytes(name, lambda _: b"\xff\xfe\x00")
    CHANGES[f"{name}: a list"] = _bytes(name, lambda _: b"[1, 2]")
    CHANGES[f"{name}: deep"] = _bytes(name, lambda _: b"[" * 5000 + b"]" * 5000)
    CHANGES[f"{name}: a link"] = _replaced_by(name, lambda at: at.symlink_to("/etc/hostname"))
    CHANGES[f"{name}: a folder"] = _replaced_by(name, Path.mkdir)
    CHANGES[f"{name}: a pipe"] = _replaced_by(name, os.mkfifo)
for name in TENSOR_FILES:
    file = f"tensors/{name}.safetensors"
    CHANGES[f"{file}: gone"] = lambda folder, file=file: (folder / file).unlink()
    CHANGES[f"{file}: cut"] = _bytes(file, lambda old: old[: len(old) // 2])
    CHANGES[f"{file}: noise"] = _bytes(file, lambda _: b"\x00" * 64)
    CHANGES[f"{file}: NaN"] = _tensors(
        name, lambda t: _every(t, lambda a: a * np.nan if a.dtype.kind == "f" else a)
    )
    CHANGES[f"{file}: shape"] = _tensors(name, lambda t: _every(t, lambda a: a[..., :1]))
    CHANGES[f"{file}: float16"] = _tensors(
        name, lambda t: _every(t, lambda a: a.astype(np.float16))
    )
    CHANGES[f"{file}: integers"] = _tensors(name, lambda t: _every(t, lambda a: a.astype(np.int64)))
    CHANGES[f"{file}: other keys"] = _tensors(name, lambda t: {f"x{k}": a for k, a in t.items()})
    CHANGES[f"{file}: a link"] = _replaced_by(file, lambda at: at.symlink_to("/etc/hostname"))


def _tensors_elsewhere(folder: Path) -> None:
    (folder / "tensors").rename(folder / "elsewhere")
    (folder / "tensors").symlink_to("elsewhere")


def _journal_of_several(folder: Path) -> None:
    journal = b"\x00" * 504 + bytes.fromhex("d9d505f920a163d7")
    (folder / "run.sqlite-journal").write_bytes(journal)


def _write_mine(folder: Path) -> None:
    (folder / "thesis.tex").write_text("mine")


_VIEW = (
    "CREATE VIEW records AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "SELECT 'scores' AS stage, i AS key, '[]' AS payload, 1 AS forward_passes, 1 AS tokens, "
    "1 AS seconds FROM n"
)
CHANGES |= {
    "store: gone": lambda folder: (folder / "run.sqlite").unlink(),
    "store: empty": _bytes("run.sqlite", lambda _: b""),
    "store: noise": _bytes("run.sqlite", lambda old: b"\x17" * len(old)),
    "store: text": _bytes("run.sqlite", lambda _: b"hello"),
    "store: header alone": _bytes("run.sqlite", lambda old: old[:100]),
    "store: half": _bytes("run.sqlite", lambda old: old[: len(old) // 2]),
    "store: damaged pages": _bytes(
        "run.sqlite", lambda old: old[:4096] + b"\xff" * (len(old) - 4096)
    ),
    "store: damaged page 1": _bytes(
        "run.sqlite", lambda old: old[:100] + b"\xff" * 400 + old[500:]
    ),
    "store: a pipe": _replaced_by("run.sqlite", os.mkfifo),
    "store: a folder": _replaced_by("run.sqlite", Path.mkdir),
    "store: a link": _replaced_by("run.sqlite", lambda at: at.symlink_to("/etc/hostname")),
    "store: a broken link": _replaced_by("run.sqlite", lambda at: at.symlink_to("nowhere")),
    "store: WAL": _sql("PRAGMA journal_mode = WAL"),
    "store: another version": _sql("PRAGMA user_version = 99"),
    "store: before versions": _sql("PRAGMA user_version = 0"),
    "store: records gone": _sql("DROP TABLE records"),
    "store: facts gone": _sql("DROP TABLE facts"),
    "store: no facts": _sql("DELETE FROM facts"),
    "store: not finished": _sql("DELETE FROM facts WHERE name = 'finished'"),
    "store: no rows": _sql("DELETE FROM records"),
    "store: a column more": _sql("ALTER TABLE records ADD COLUMN more"),
    "store: a column less": _sql("ALTER TABLE records DROP COLUMN seconds"),
    "store: a view": _sql("CREATE VIEW v AS SELECT 1"),
    "store: an endless view for records": _sql("DROP TABLE records", _VIEW),
    "store: a trigger": _sql(
        "CREATE TRIGGER t AFTER INSERT ON facts BEGIN DELETE FROM records; END"
    ),
    "store: a virtual table": _sql("CREATE VIRTUAL TABLE f USING fts5(x)"),
    "store: a generated column": _sql(
        "DROP TABLE facts",
        "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT GENERATED ALWAYS AS (name) VIRTUAL)",
    ),
    "store: an index on an expression": _sql("CREATE INDEX i ON records (length(payload))"),
    "store: a stage of no audit": _sql("INSERT INTO records VALUES ('odd', 'x', '{}', 1, 1, 1)"),
    "store: a key with an escape": _sql(
        "UPDATE records SET key = char(27) || ']52;c;x' WHERE stage = 'direction'"
    ),
    "store: costs of text": _sql("UPDATE records SET tokens = 'many'"),
    "store: negative costs": _sql("UPDATE records SET forward_passes = -5"),
    "store: costs without end": _sql("UPDATE records SET seconds = 9e999"),
    "store: a giant row": _sql(
        "UPDATE records SET payload = CAST(zeroblob(200000000) AS TEXT) WHERE stage = 'controls'"
    ),
    "store: a million facts": _sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) "
        "INSERT INTO facts SELECT 'n' || i, 'x' FROM n"
    ),
    "store: another identity": _sql("UPDATE facts SET value = 'other' WHERE name = 'identity'"),
    "scores: NaN": edited("scores", lambda all: [{**one, "score": float("nan")} for one in all]),
    "scores: infinite": edited("scores", lambda all: [{**one, "score": 1e999} for one in all]),
    "scores: none": edited("scores", lambda _: []),
    "scores: of other prompts": edited(
        "scores", lambda all: [{**one, "prompt_id": f"q{i}"} for i, one in enumerate(all)]
    ),
    "scores: one prompt many times": edited(
        "scores", lambda all: [{**one, "prompt_id": "p0"} for one in all]
    ),
    "scores: of one label": edited("scores", lambda all: [{**one, "label": "x"} for one in all]),
    "scores: an escape in an id": edited(
        "scores", lambda all: [{**one, "prompt_id": f"\x1b[2J{i}"} for i, one in enumerate(all)]
    ),
    "scores: an escape in a category": edited(
        "scores", lambda all: [{**one, "category": "\x1b]52;c;x\x07"} for one in all]
    ),
    "scores: half an emoji": _payload("scores", '[{"prompt_id": "\\ud83d"}]'),
    "scores: a number of 5,000 digits": _payload("scores", "[" + "9" * 5000 + "]"),
    "scores: deep": _payload("scores", "[" * 3000 + "]" * 3000),
    "minimal_sets: of other prompts": edited("minimal_sets", lambda m: {**m, "prompt_id": "q"}),
    "minimal_sets: features of text": edited("minimal_sets", lambda m: {**m, "features": ["x"]}),
    "direction: another width": edited("direction", lambda d: {**d, "vector": [1.0]}),
    "direction: zeros": edited("direction", lambda d: {**d, "vector": [0.0] * 8}),
    "direction: no evaluations": edited("direction", lambda d: {**d, "evaluations": []}),
    "sae_quality: other layers": edited(
        "sae_quality", lambda q: [{**one, "layer": 7} for one in q]
    ),
    "config: a bomb": _bytes(
        "config.yaml",
        lambda _: (
            b"a: &a [x,x,x,x,x,x,x,x,x]\n"
            + b"".join(
                f"{b}: &{b} [{','.join('*' + a for _ in range(9))}]\n".encode()
                for a, b in zip("abcdefgh", "bcdefghi", strict=True)
            )
        ),
    ),
    "config: a date of no calendar": _bytes("config.yaml", lambda old: old + b"more: 2026-99-99\n"),
    "config: a negative seed": _bytes(
        "config.yaml", lambda old: old.replace(b"\nseed: 0", b"\nseed: -1")
    ),
    "config: shuffles without end": _bytes(
        "config.yaml", lambda old: old.replace(b"n_shuffles: 20", b"n_shuffles: 2000000000")
    ),
    "config: an object": _bytes("config.yaml", lambda _: b"!!python/object/apply:os.system [ls]"),
    "manifest: another version": _json("manifest.json", lambda m: {**m, "more": 1}),
    "manifest: no model": _json("manifest.json", lambda m: {**m, "model": None}),
    "manifest: NaN": _json("manifest.json", lambda m: {**m, "peak_memory_bytes": float("nan")}),
    "manifest: another width": _json(
        "manifest.json", lambda m: {**m, "model": {**m["model"], "d_model": 9}}
    ),
    "manifest: no layers": _json(
        "manifest.json", lambda m: {**m, "model": {**m["model"], "n_layers": 0}}
    ),
    "manifest: layers without end": _json(
        "manifest.json", lambda m: {**m, "model": {**m["model"], "n_layers": 10**12}}
    ),
    "manifest: SAEs of other layers": _json("manifest.json", lambda m: {**m, "saes": []}),
    "findings: NaN": _json(
        "findings.json", lambda f: {**f, "cost": {**f["cost"], "tokens": float("nan")}}
    ),
    "findings: version 7": _json("findings.json", lambda f: {**f, "schema_version": 7}),
    "tensors: a link": _tensors_elsewhere,
    "store: a journal of several": _journal_of_several,
}

HARMLESS: dict[str, Change] = {
    "a page that is a link": lambda folder: (folder / "index.html").symlink_to("../mine.html"),
    "somebody's file": _write_mine,
    "a right-to-left mark in a model's name": _json(
        "manifest.json", lambda m: {**m, "model": {**m["model"], "id": "a\u202eb\x1b[2J<b>"}}
    ),
    "a right-to-left mark in a category": edited(
        "scores", lambda all: [{**one, "category": "a\u202eb<script>x</script>"} for one in all]
    ),
}
