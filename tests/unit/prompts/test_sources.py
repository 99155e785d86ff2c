"""Prompt files: read as they are, and every fault named with its line."""

import json
from pathlib import Path

import pytest

from sae_audit.errors import AuditError
from sae_audit.prompts.sources import read_prompts, read_sources
from sae_audit.prompts.types import Label

HARMFUL = {"id": "a", "text": "build a bomb", "label": "harmful"}
HARMLESS = {"id": "b", "text": "build a bird house", "label": "harmless", "category": "crafts"}


def written(folder: Path, *lines: object) -> Path:
    path = folder / "prompts.jsonl"
    path.write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    )
    return path


def test_json_lines_with_blank_lines_between(tmp_path: Path):
    prompts = read_prompts([written(tmp_path, HARMFUL, "", HARMLESS)])
    assert [prompt.label for prompt in prompts] == [Label.HARMFUL, Label.HARMLESS]
    assert prompts[1].category == "crafts"


def test_csv_has_the_same_columns(tmp_path: Path):
    path = tmp_path / "prompts.csv"
    path.write_text(
        'id,text,label,category\na,"build, then sell, a bomb",harmful,\nb,wash,harmless,x\n'
    )
    prompts = read_prompts([path])
    assert prompts[0].text == "build, then sell, a bomb"
    assert prompts[0].category == ""


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"id": "a", "text": ', "line 2: not a JSON object"),
        ('["a"]', "line 2: list instead of a JSON object"),
        ({**HARMFUL, "id": "c", "text": "  "}, "line 2: 'text' is missing or empty"),
        ({"id": "c", "label": "harmful"}, "line 2: 'text' is missing or empty"),
        ({**HARMFUL, "id": "c", "text": 7}, "line 2: text is 7"),
        ({**HARMFUL, "id": "c", "label": "bad"}, "line 2: label is 'bad'"),
        ({**HARMFUL, "id": "c", "lable": "harmful"}, "line 2: unknown field 'lable'"),
        ({**HARMLESS, "id": "a"}, "line 2: the id 'a' was used before, at .*line 1"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: object, complaint: str):
    with pytest.raises(AuditError, match=complaint):
        read_prompts([written(tmp_path, HARMFUL, line)])


@pytest.mark.parametrize(("line", "missing"), [(HARMFUL, "harmless"), (HARMLESS, "harmful")])
def test_both_labels_are_needed(tmp_path: Path, line: dict[str, str], missing: str):
    with pytest.raises(AuditError, match=f"no {missing} prompt among 1"):
        read_prompts([written(tmp_path, line)])


def test_ids_are_unique_over_all_files(tmp_path: Path):
    one = written(tmp_path, HARMFUL, HARMLESS)
    with pytest.raises(AuditError, match="used before"):
        read_prompts([one, one])


def test_a_missing_file_is_said(tmp_path: Path):
    with pytest.raises(AuditError, match="No prompt file"):
        read_prompts([tmp_path / "none.jsonl"])


def test_a_text_under_both_labels_is_refused(tmp_path: Path):
    twin = {**HARMFUL, "id": "c", "label": "harmless", "text": "Build  a bomb"}
    with pytest.raises(AuditError, match=r"harmful \(.*line 1\) and as harmless"):
        read_prompts([written(tmp_path, HARMFUL, HARMLESS, twin)])


def test_options_of_a_file_with_its_own_ids(tmp_path: Path):
    bare = written(tmp_path, {"id": "a", "text": "build a bomb"})
    with pytest.raises(AuditError, match="'label' is missing"):
        read_sources([str(bare)])
    (source,) = read_sources([f"{bare}?label=harmful&name=mine"])
    assert [(p.id, p.label) for p in source.prompts] == [("mine/a", Label.HARMFUL)]


def test_a_source_named_otherwise_may_have_the_same_ids(tmp_path: Path):
    one = written(tmp_path, HARMFUL, HARMLESS)
    first, second = read_sources([one, f"{one}?name=z"])
    assert [p.id for p in first.prompts] == ["a", "b"]
    assert (second.prompts, second.set_aside) == ((), {"duplicates": 2})


def test_a_text_of_two_sources_is_kept_once_whatever_their_order(tmp_path: Path):
    (tmp_path / "one.txt").write_text("Wash a car\nPaint a door\n")
    (tmp_path / "two.txt").write_text("wash  a car\nMend a bike\n")
    names = [f"{tmp_path / name}.txt?label=harmless" for name in ("one", "two")]
    one, two = read_sources(names)
    assert [p.id for p in two.prompts] == ["two/2"]
    assert (one.set_aside, two.set_aside) == ({}, {"duplicates": 1})
    assert read_sources(names[::-1]) == [two, one]


def test_a_limit_keeps_the_same_prompts_however_they_are_sorted(tmp_path: Path):
    lines = [f"Request {i}" for i in range(40)]
    kept: list[set[str]] = []
    for limit, order in ((10, lines), (10, lines[::-1]), (20, lines)):
        (tmp_path / "p.txt").write_text("\n".join(order))
        (source,) = read_sources([f"{tmp_path / 'p.txt'}?label=harmful&limit={limit}"])
        kept.append({p.text for p in source.prompts})
        assert source.set_aside == {"over the limit": 40 - limit}
    assert len(kept[0]) == 10
    assert kept[0] == kept[1] < kept[2]
    assert kept[0] != set(lines[:10])


def test_messages_do_not_quote_prompts(tmp_path: Path):
    for line in (
        {**HARMFUL, "label": "a text in the wrong column"},
        {**HARMFUL, "text": ["build"]},
    ):
        with pytest.raises(AuditError) as refused:
            read_prompts([written(tmp_path, line)])
        assert "wrong column" not in str(refused.value)
        assert "build" not in str(refused.value)
