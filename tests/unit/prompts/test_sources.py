"""Prompt files: read as they are, and every fault named with its line."""

import json
from pathlib import Path

import pytest

from sae_audit.errors import AuditError
from sae_audit.prompts.sources import read_prompts
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
    with pytest.raises(AuditError, match="harmful and as harmless"):
        read_prompts([written(tmp_path, HARMFUL, HARMLESS, twin)])
