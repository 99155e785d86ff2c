"""Files that nobody here made: prompts come out or one sentence, within bounds of memory and time."""

import gzip
import io
import json
import os
import resource
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sae_audit import hub
from sae_audit.errors import AuditError
from sae_audit.prompts import bounds, near_duplicates
from sae_audit.prompts.sources import read_sources
from sae_audit.prompts.tables import SUFFIXES
from sae_audit.prompts.types import Label, Prompt
from sae_audit.untrusted import unprintable
from tests.unit.prompts.test_published import opened

KINDS = [suffix for suffix in SUFFIXES if suffix != ".yml"]


def outcome(source: str | Path) -> str:
    """What a source gives: `prompts` that can be stored, or the one sentence that refuses it."""
    try:
        read = read_sources([source])
    except AuditError as error:
        said = str(error)
        assert unprintable(said) is None, said
        assert "\n" not in said
        assert len(said) < 2000
        return said
    for prompt in (prompt for each in read for prompt in each.prompts):
        assert prompt.label in Label
        assert prompt.text.strip()
        for said in (prompt.id, prompt.category, prompt.language):
            assert unprintable(said) is None
        prompt.text.encode("utf-8")
    return "prompts"


def written(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


# Characters


@pytest.mark.parametrize(
    ("character", "spelled"),
    [
        ("\\ud83d", "\\ud83d"),
        ("\\u0000", "\\x00"),
        ("\\u001b", "\\x1b"),
        ("\\u0085", "\\x85"),
        ("\\u202e", "\\u202e"),
        ("\\u2066", "\\u2066"),
    ],
)
@pytest.mark.parametrize("field", ["id", "text", "category", "language"])
def test_characters_that_are_not_written_are_refused_by_line(
    tmp_path: Path, character: str, spelled: str, field: str
):
    good = '{"id": "a", "text": "Ask", "label": "harmful"}'
    row = {"id": "b", "text": "Tell", "label": "harmful", "category": "c", "language": "en"}
    bad = json.dumps({**row, field: "a @ b"}).replace("@", character)
    file = written(tmp_path, "p.jsonl", f"{good}\n{bad}\n".encode())
    said = outcome(file)
    assert "line 2: the " in said
    assert spelled in said


@pytest.mark.parametrize(
    "text",
    [
        "two\nlines\tand a tab",
        "👩\u200d🚀 a family \u200dof joiners",
        "ما هو\u200f الجواب؟",
        "شلوم\u200e (x)",
        "soft\u00adhyphen and a\u200bspace",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    ],
)
def test_characters_of_real_text_are_read(tmp_path: Path, text: str):
    row = {"id": "a", "text": text, "label": "harmful"}
    file = written(tmp_path, "p.jsonl", json.dumps(row).encode())
    assert [prompt.text for prompt in opened(file).prompts] == [text]


def test_a_files_own_name_does_not_reach_ids_unseen(tmp_path: Path):
    file = written(tmp_path, "a\x1bb.txt", b"Ask\n")
    assert "the id" in outcome(f"{file}?label=harmful")
    assert outcome(f"{file}?label=harmful&name=n") == "prompts"


@pytest.mark.parametrize("kind", ["csv", "tsv", "txt", "jsonl", "yaml"])
def test_bytes_that_are_no_text_are_named_by_line(tmp_path: Path, kind: str):
    begins = {"csv": b"prompt\n", "tsv": b"prompt\n", "jsonl": b'{"prompt": "a"}\n'}
    file = written(tmp_path, f"p.{kind}", begins.get(kind, b"- a\n") + b"caf\xe9 prompt\n")
    assert "not UTF-8 text" in outcome(f"{file}?label=harmful")
    assert "line 2" in outcome(f"{file}?label=harmful")


# Files that are something else


def archive() -> bytes:
    packed = io.BytesIO()
    zipfile.ZipFile(packed, "w").writestr("p.csv", "prompt\nAsk\n")
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (archive(), "zip archive"),
        (gzip.compress(b"prompt\nAsk\n", mtime=0), "gzip"),
        ("prompt\nAsk\n".encode("utf-16"), "UTF-16"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        (b"<!DOCTYPE html>\n<html></html>", "web page"),
        (b"%PDF-1.7\n", "PDF"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_named_as_one(
    tmp_path: Path, content: bytes, what: str, kind: str
):
    assert what in outcome(f"{written(tmp_path, f'p{kind}', content)}?label=harmful")


def test_what_is_no_regular_file(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    for name, said in (
        ("pipe.jsonl", "a pipe or a device"),
        ("zero.txt", "a pipe or a device"),
        ("folder.jsonl", "is a folder"),
        ("loop.jsonl", "No prompt file"),
    ):
        assert said in outcome(tmp_path / name)
        assert said in outcome(f"{tmp_path / name}?label=harmful")


@pytest.mark.parametrize(
    "name",
    [
        *("x" * 300, "x/" * 3000, "~nobody", "~nobody/x.csv", "a\x00b.csv", "\ud83d.csv", "", "?"),
        *("org/" + "n" * 300, "bundled:" + "x" * 300, "alpaca?limit=" + "9" * 5000, "\x1b\u202e.csv"),
    ],
)  # fmt: skip
def test_names_that_no_file_can_have(name: str):
    assert outcome(name) != "prompts"


# Bounds


def stated_bounds(monkeypatch: pytest.MonkeyPatch, **values: int) -> None:
    for name, value in values.items():
        monkeypatch.setattr(bounds, name, value)


@pytest.mark.parametrize(
    ("name", "content", "bound", "said"),
    [
        ("p.txt", b"a" * 999, {"LINE_CHARACTERS": 100}, "line 1 has more than 100 characters"),
        ("p.jsonl", b'{"prompt": "%s"}\n5' % (b"a" * 999), {"LINE_CHARACTERS": 100}, "more than 100 ch"),
        ("p.csv", b'prompt\n"a\n' + b"b\n" * 99, {"LINE_CHARACTERS": 100}, "line 2: a row of more than"),
        ("p.txt", b"a\n" * 999, {"FILE_BYTES": 1000}, "at most 0 MB"),
        ("p.json", b"[" + b"5," * 999 + b"5]", {"WHOLE_BYTES": 1000}, "save it as JSON lines"),
        ("p.json", b"[" + b"{}," * 999 + b"{}]", {"WHOLE_VALUES": 1000}, "more than 1,000 values"),
        ("p.txt", b"a\n" * 999, {"ROWS": 100}, "line 101: at most 100 rows"),
        ("p.txt", b"abcdefghij\n" * 99, {"KEPT_CHARACTERS": 100}, "line 11: more than 100 characters"),
        ("p.csv", b"a," * 99 + b"b\n", {"COLUMNS": 50}, "line 1: 100 columns, and at most 50"),
        ("p.jsonl", b'{"prompt": "a", "category": "%s"}' % (b"c" * 999), {}, "category has 999 char"),
        ("p.jsonl", b'{"prompt": "a", "x": %s}' % (b"9" * 5000), {}, "a number of 5000"),
        ("p.json", b"[" * 99_999 + b"]" * 99_999, {}, "nested too deeply"),
        ("p.jsonl", b'{"a":' * 999 + b"1" + b"}" * 999, {}, "nested "),
        ("p.yaml", b"a: &a [x]\nb: [*a, *a]", {}, "alias"),
        ("p.yaml", b"- !!int ''", {}, "no YAML"),
        ("p.yaml", b"- !!bool maybe", {}, "no YAML"),
        ("p.yaml", b"prompts:\n - value: 0x" + b"f" * 9000, {}, "a number of 9002"),
    ],
)  # fmt: skip
def test_bounds_are_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: bytes,
    bound: dict[str, int],
    said: str,
):
    stated_bounds(monkeypatch, **bound)
    assert said in outcome(f"{written(tmp_path, name, content)}?label=harmful")


def test_a_prompt_that_is_too_long_is_set_aside_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stated_bounds(monkeypatch, TEXT_CHARACTERS=20)
    file = written(tmp_path, "p.txt", b"a" * 21 + b"\n" + b"b" * 20 + b"\n")
    source = opened(file, "?label=harmful")
    assert [prompt.text for prompt in source.prompts] == ["b" * 20]
    assert source.set_aside == {"longer than 20 characters": 1}


def test_a_parquet_file_of_kilobytes_that_stands_for_gigabytes(tmp_path: Path):
    one = pa.DictionaryArray.from_arrays(
        pa.array([0] * 20_000, pa.int32()), pa.array(["a" * 100_000])
    )
    pq.write_table(pa.table({"prompt": one}), tmp_path / "dictionary.parquet")
    assert (tmp_path / "dictionary.parquet").stat().st_size < 100_000
    assert "MB of texts" in outcome(f"{tmp_path / 'dictionary.parquet'}?label=harmful")
    pq.write_table(pa.table({"prompt": pa.nulls(3_000_000, pa.string())}), tmp_path / "n.parquet")
    assert "3,000,000 rows" in outcome(f"{tmp_path / 'n.parquet'}?label=harmful")


def test_the_footer_of_a_parquet_file_is_asked_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stated_bounds(monkeypatch, UNPACKED_BYTES=1000)
    texts = {name: pa.array(["a" * 600] * 9) for name in ("prompt", "response")}
    for columns in (["prompt"], ["prompt", "response"]):
        # The answers' column is not opened, and does not count.
        table = pa.table({name: texts[name] for name in columns})
        pq.write_table(table, tmp_path / "p.parquet", use_dictionary=False)
        assert "p.parquet unpacks to 0 MB" in outcome(f"{tmp_path / 'p.parquet'}?label=harmful")
    pq.write_table(pa.table({"prompt": ["Ask"], "response": ["a" * 9999]}), tmp_path / "p.parquet")
    assert outcome(f"{tmp_path / 'p.parquet'}?label=harmful") == "prompts"


def test_conversations_and_categories_come_whole_out_of_parquet(tmp_path: Path):
    rows = [{"messages": [{"role": "user", "content": f"Ask {i % 3}"}], "id": i} for i in range(9)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    source = opened(tmp_path / "p.parquet", "?label=harmful")
    assert [(p.id, p.text) for p in source.prompts] == [(f"p/{i}", f"Ask {i}") for i in range(3)]


def test_texts_that_need_comparing_pair_by_pair_end_in_a_sentence(monkeypatch: pytest.MonkeyPatch):
    template = " ".join(f"word{i}" for i in range(40))
    texts = [f"{template} {i % 7} {i % 5} {i % 3} {i} x{i} y{i} z{i}" for i in range(300)]
    prompts = [
        Prompt(id=f"{i:03d}", text=text, label=Label.HARMFUL) for i, text in enumerate(texts)
    ]
    assert len(near_duplicates.near_duplicates(prompts)) < len(prompts)
    monkeypatch.setattr(near_duplicates, "_MOST_COMPARED", 1000)
    with pytest.raises(AuditError, match=r"300 harmful prompts are so alike .*\?limit=N"):
        near_duplicates.near_duplicates(prompts)
    monkeypatch.setattr(near_duplicates, "_MOST_SHINGLES", 1000)
    with pytest.raises(AuditError, match=r"hold too many words .*\?limit=N"):
        near_duplicates.near_duplicates(prompts)


# Anything at all

EXAMPLES: dict[str, bytes] = {
    "a.jsonl": b'{"id": "a", "text": "Wash", "label": "harmless"}\n{"id": "b", "text": "Rob"}',
    "b.json": json.dumps([{"instruction": "Ask", "input": "", "output": "x"}] * 2, indent=1).encode(),
    "c.json": b'{\n "payloads": ["one", "two"],\n "name": "x"\n}',
    "d.jsonl": b'{"messages":[{"role":"user","content":"Ask"}]}\n{"messages":[]}',
    "e.csv": b'id,prompt,type,label,focus\n1,"How, then",homonyms,safe,f\n2,Two,contrast_x,unsafe,f\n',
    "f.tsv": b"prompt\tcategory\nAsk one\tx\nAsk two\ty\n",
    "g.txt": "Wash a car\nGrüße 你好\n".encode(),
    "h.yaml": b"should_be_blocked: False\nprompts:\n  - The car\n  - value: b\n",
    "i.prompt": b"dataset_name: x\nseeds:\n  - value: Is time real?\n    data_type: text\n",
    "j.csv": b"id,prompt,category,subcategory,label_type,eval_split\n1,a,c,s,Abstain,refusal\n",
}  # fmt: skip
BITS = [b"\x00", b'"', b",", b"\n", b"\r", b"{", b"}", b"[", b"]", b":", b"\xff", b"\xed\xa0\xbd"]
BITS += [b"\\ud83d", b"null", b"1e999", b"9" * 500, b"&a ", b"*a", b"!!int ", b"- ", b"#", b"true"]
OPTIONS = [
    "label=harmful",
    "label=label",
    "text=prompt",
    "text=text",
    "category=category",
    "limit=1",
]
OPTIONS += [
    "language=en",
    "name=n",
    "with_input=true",
    "style=all",
    "functional=all",
    "category=type",
]
SLOWLY = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SELDOM = settings(SLOWLY, max_examples=10)
"""Of files that are read in a process of their own."""


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that hypothesis makes up may have the form of a repository's."""

    def listing(_: hub.Repository) -> hub.Listing:
        raise AuditError("There is no network in this test.")

    monkeypatch.setattr(hub, "listing", listing)


@st.composite
def changed(draw: st.DrawFn) -> tuple[str, bytes]:
    """A good file with bits of it cut out, doubled, or replaced."""
    name = draw(st.sampled_from(sorted(EXAMPLES)))
    content = EXAMPLES[name]
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + 20)))
        bit = draw(st.sampled_from([b"", *BITS]) | st.binary(max_size=3))
        content = content[:start] + bit + content[end:]
    return name, content


options = st.lists(st.sampled_from(OPTIONS) | st.text(max_size=8), max_size=3).map("&".join)


@SLOWLY
@given(changed(), options)
def test_a_changed_file_gives_prompts_or_a_sentence(
    tmp_path: Path, file: tuple[str, bytes], asked: str
):
    path = written(tmp_path, *file)
    outcome(path)
    outcome(f"{path}?{asked}")


@SLOWLY
@given(
    st.sampled_from(KINDS), st.binary(max_size=200) | st.text(max_size=80).map(str.encode), options
)
def test_any_bytes_give_prompts_or_a_sentence(
    tmp_path: Path, kind: str, content: bytes, asked: str
):
    outcome(f"{written(tmp_path, f'p{kind}', content)}?{asked}")


NAMES = """id text label category language prompt type focus goal target instruction input context
    messages conversations role content from value data_type turns question_id Behavior Goal image system
    FunctionalCategory subcategory label_type prompts seeds payloads"""
COLUMNS = st.sampled_from(NAMES.split()) | st.text(max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("Ask"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(COLUMNS, inner, max_size=4),
    max_leaves=12,
)


@SLOWLY
@given(JSON, st.sampled_from([".json", ".jsonl", ".yaml", ".prompt"]), options)
def test_any_json_gives_prompts_or_a_sentence(tmp_path: Path, value: Any, kind: str, asked: str):
    file = written(tmp_path, f"p{kind}", json.dumps(value).encode())
    outcome(f"{file}?{asked}")


@SELDOM
@given(
    st.dictionaries(COLUMNS, st.lists(JSON, min_size=2, max_size=2), min_size=1, max_size=4),
    options,
)
def test_any_table_of_parquet_gives_prompts_or_a_sentence(
    tmp_path: Path, columns: dict[str, list[Any]], asked: str
):
    try:
        table = pa.table(columns)
        pq.write_table(table, tmp_path / "p.parquet")
    except (pa.ArrowException, UnicodeEncodeError, OverflowError, TypeError):
        return  # No such table can be written.
    outcome(f"{tmp_path / 'p.parquet'}?{asked}")


def test_a_page_that_asks_for_all_memory_ends_in_a_sentence(tmp_path: Path):
    """Its reader gives up at a limit of its own, and the audit goes on."""
    pq.write_table(pa.table({"prompt": [f"Ask {i}" for i in range(9)]}), tmp_path / "p.parquet")
    content = (tmp_path / "p.parquet").read_bytes()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for at in range(4, 60, 7):
        broken = written(
            tmp_path, "q.parquet", content[:at] + b"\xff\xff\xff\x7f" + content[at + 4 :]
        )
        outcome(f"{broken}?label=harmful")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # kB


@SELDOM
@given(st.integers(0, 2000), st.binary(min_size=1, max_size=4))
def test_a_broken_parquet_file_gives_a_sentence_or_its_prompts(tmp_path: Path, at: int, bit: bytes):
    pq.write_table(pa.table({"prompt": [f"Ask {i}" for i in range(9)]}), tmp_path / "p.parquet")
    content = (tmp_path / "p.parquet").read_bytes()
    at %= len(content)
    broken = written(tmp_path, "q.parquet", content[:at] + bit + content[at + len(bit) :])
    outcome(f"{broken}?label=harmful")


PARTS = ["~", "/", ".", ":", "@", "?", "&", "=", "*", "[", "\x00", "\ud83d", "org", "name", "csv"]


@SLOWLY
@given(st.text(max_size=60) | st.lists(st.sampled_from(PARTS)).map("".join))
def test_any_name_gives_prompts_or_a_sentence(name: str):
    outcome(name)
