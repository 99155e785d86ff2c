"""Explanations from files that may come from anyone: read within bounds, or refused in a sentence."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from sae_audit.errors import AuditError
from sae_audit.record import explanations
from sae_audit.record.explanations import read_explanations
from sae_audit.record.facts import SaeFacts
from sae_audit.vocabulary import FeatureId
from tests.synthetic.runs import manifest

SAES = manifest().saes  # of layers 1 and 2
ONE, TWO = FeatureId(1, 3), FeatureId(2, 5)
GEMMA = tuple(
    sae.model_copy(
        update={
            "release": "gemma-scope-2b-pt-res-canonical",
            "id": f"layer_{sae.layer}/width_16k/canonical",
        }
    )
    for sae in SAES
)
"""SAEs that the catalog knows on Neuronpedia."""


def neuronpedia(
    layer: int, index: int, text: str, source: str = "gemmascope-res-16k"
) -> dict[str, Any]:
    """A row as its export has it."""
    return {
        "id": "clx",
        "modelId": "gemma-2-2b",
        "layer": f"{layer}-{source}",
        "index": str(index),
        "description": text,
        "explanationModelName": "gpt-4o-mini",
        "typeName": "oai_token-act-pair",
        "embedding": [0.125] * 8,
    }


def lines(rows: list[dict[str, Any]]) -> str:
    return "\n".join(map(json.dumps, rows)) + "\n"


def read(
    path: Path, saes: tuple[SaeFacts, ...] = SAES, wanted: tuple[FeatureId, ...] = (ONE, TWO)
) -> dict[FeatureId, str]:
    return read_explanations(path, saes, wanted)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("own.json", json.dumps({"L1/3": "about harm", "L2/5": "about paint", "L2/900": "no"})),
        (
            "rows.json",
            json.dumps(
                [
                    {"feature": "L1/3", "explanation": "about harm"},
                    {"layer": 2, "index": 5, "description": "about paint"},
                ]
            ),
        ),
        (
            "own.jsonl",
            lines(
                [
                    {"feature": "L1/7", "explanation": "unwanted"},
                    {"feature": "L1/3", "explanation": "about harm"},
                    {"feature": "L2/5", "explanation": "about paint"},
                ]
            ),
        ),
        ("own.csv", "feature,explanation\nL1/3,about harm\nL2/5,about paint\n"),
        ("np.csv", "layer,index,description\n1,3,about harm\n2,5,about paint\n"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_forms_that_are_read(tmp_path: Path, name: str, text: str, packed: bool):
    file = tmp_path / (f"{name}.gz" if packed else name)
    file.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert read(file) == {ONE: "about harm", TWO: "about paint"}


def test_neuronpedias_export_as_it_lies(tmp_path: Path):
    """One folder a layer, batches of gzipped lines; layers that were not audited stand beside."""
    for layer, text in ((1, "about harm"), (2, "about paint"), (7, "elsewhere")):
        folder = tmp_path / f"{layer}-gemmascope-res-16k" / "explanations"
        folder.mkdir(parents=True)
        rows = [neuronpedia(layer, i, text if i in (3, 5) else f"no {i}") for i in range(8)]
        for batch in range(2):
            data = lines(rows[4 * batch : 4 * batch + 4]).encode()
            (folder / f"batch-{batch}.jsonl.gz").write_bytes(gzip.compress(data))
        (folder / "readme.txt").write_text("not read")
    assert read(tmp_path, GEMMA) == {ONE: "about harm", TWO: "about paint"}


def test_the_first_of_several_stays_and_it_is_cut_and_printable(tmp_path: Path):
    rows = [
        neuronpedia(1, 3, "a\x1b[2Jb\u202ec\n" + "x" * 400),
        neuronpedia(1, 3, "second"),
        neuronpedia(2, 5, "  "),
    ]
    (tmp_path / "e.jsonl").write_text(lines(rows))
    found = read(tmp_path / "e.jsonl")
    assert found.keys() == {ONE}, "an empty one is none"
    assert found[ONE].startswith("a\\x1b[2Jb\\u202ec\\n")
    assert len(found[ONE]) < 400


def test_an_export_of_other_saes_is_refused_where_the_catalog_knows_better(tmp_path: Path):
    file = tmp_path / "e.jsonl"
    file.write_text(lines([neuronpedia(1, 3, "x", "gemmascope-res-65k")]))
    with pytest.raises(AuditError, match=r"explains features of 1-gemmascope-res-65k, and the run"):
        read(file, GEMMA)
    assert read(file) == {ONE: "x"}, "of SAEs that it does not know the layer must do"


@pytest.mark.parametrize(
    ("name", "data", "complaint"),
    [
        ("e.jsonl", b'{"feature": "L1/3"', "no JSON"),
        ("e.jsonl", b"[1, 2]\n", "is no explanation"),
        ("e.jsonl", b'{"feature": "layer one", "explanation": "x"}\n', "is no explanation"),
        ("e.jsonl", b'{"layer": "x", "index": "3", "description": "x"}\n', "is no explanation"),
        ("e.jsonl", b'{"layer": "1", "index": "-3", "description": "x"}\n', "is no explanation"),
        ("e.jsonl", b'{"feature": "L1/3", "explanation": {"a": 1}}\n', "is no explanation"),
        ("e.jsonl", b"\xff\xfe\n", "UTF-8"),
        ("e.jsonl.gz", b"no gzip", "no whole gzip"),
        ("e.jsonl.gz", gzip.compress(b"x" * 5000, mtime=0)[:-9], "no whole gzip|no JSON"),
        ("e.json", b"[" * 100_000, "nested too deep|no JSON"),
        ("e.json", b'"text"', "is no explanation"),
        ("e.json", b'{"L9/1": "x"}', "explains no feature of the audited layers 1, 2"),
        ("e.json", b'{"L1/99999": "x"}', "explains no feature"),
        ("e.json", b'{"L1/3": "x", "L1/3": "y"}', "two different values"),
        ("e.csv", b"a,b\n1,2\n", "explains no feature"),
    ],
)
def test_what_is_no_such_file(tmp_path: Path, name: str, data: bytes, complaint: str):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(AuditError, match=complaint):
        read(tmp_path / name)


def test_no_file_and_an_empty_folder(tmp_path: Path):
    with pytest.raises(AuditError, match="No file"):
        read(tmp_path / "none.json")
    with pytest.raises(AuditError, match="holds no explanations"):
        read(tmp_path)


class TestBounds:
    def test_a_file_that_unpacks_without_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(explanations, "_MOST_BYTES", 4 << 20)
        row = (json.dumps(neuronpedia(1, 4, "x" * 1000)) + "\n").encode()
        (tmp_path / "bomb.jsonl.gz").write_bytes(gzip.compress(row * 8000))
        with pytest.raises(AuditError, match="unpack to more than"):
            read(tmp_path / "bomb.jsonl.gz")

    def test_one_line_without_end(self, tmp_path: Path):
        (tmp_path / "line.jsonl.gz").write_bytes(gzip.compress(b"x" * (8 << 20)))
        with pytest.raises(AuditError, match="has a line of"):
            read(tmp_path / "line.jsonl.gz")

    def test_json_that_unpacks_to_more_than_is_held(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(explanations, "SMALL_BYTES", 1 << 20)
        (tmp_path / "big.json.gz").write_bytes(gzip.compress(b" " * (3 << 20)))
        with pytest.raises(AuditError, match="write it as JSON lines"):
            read(tmp_path / "big.json.gz")

    def test_more_files_than_an_export_has(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(explanations, "_MOST_FILES", 2)
        for i in range(3):
            (tmp_path / f"{i}.json").write_text("{}")
        with pytest.raises(AuditError, match="more than 2 files"):
            read(tmp_path)

    def test_a_line_that_spans_chunks_is_one_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(explanations, "_CHUNK", 16)
        rows = [neuronpedia(1, 3, "about harm"), neuronpedia(2, 5, "about paint")]
        (tmp_path / "e.jsonl.gz").write_bytes(gzip.compress(lines(rows).encode()))
        assert read(tmp_path / "e.jsonl.gz") == {ONE: "about harm", TWO: "about paint"}
