"""Layouts that published sets come in, each on a small file with the published header."""

import json
from pathlib import Path
from typing import Any

import pytest

from sae_audit.errors import AuditError
from sae_audit.prompts.sources import kept_sources, read_sources
from tests.unit.prompts.test_published import opened, prompt_fields, table


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ('["one", "two"]', ["one", "two"]),
        ('"one"\n"two"\n', ["one", "two"]),
        ('{"payloads": ["one", "two"]}', ["one", "two"]),
        ('{\n  "payloads": [\n    "one",\n    "two"\n  ]\n}\n', ["one", "two"]),
        ('{"name": "x", "payload_types": ["Text"], "payloads": ["one", "two"]}', ["one", "two"]),
        ('{"instructions": ["one", "two"], "inputs": []}', ["one", "two"]),
        ('{"instructions": ["one"], "inputs": []}', ["one"]),
        ('{"version": 1, "data": [{"prompt": "one"}, {"prompt": "two"}]}', ["one", "two"]),
        ('{"prompt": ["one", "two"], "id": [1, 2]}', ["one", "two"]),
        ('{\n"prompt": "one"\n}', ["one"]),
    ],
)
def test_json_of_one_piece(tmp_path: Path, text: str, texts: list[str]):
    (tmp_path / "p.json").write_text(text)
    source = opened(tmp_path / "p.json", "?label=harmless")
    assert [prompt.text for prompt in source.prompts] == texts
    assert source.set_aside == {}


def test_an_array_under_the_ending_of_json_lines(tmp_path: Path):
    (tmp_path / "p.jsonl").write_text('[\n{"prompt": "one"}\n]')
    assert [p.text for p in opened(tmp_path / "p.jsonl", "?label=harmless").prompts] == ["one"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            '{"harmful": ["one"], "harmless": ["two"]}',
            "one JSON object with lists under harmful, ha",
        ),
        ('{"Ask me this thing": ["one"], "b": ["c"]}', r"under \(a text of 17 characters\), b"),
        ('{"a": {"prompt": "one"}, "b": {"prompt": "two"}}', "object with 2 objects under other"),
        ('{"instructions": ["one", "two"], "inputs": ["x"], "prompts": ["y"]}', "cannot be told"),
        ('{"instructions": ["one", "two"], "inputs": ["x"]}', "lists under instructions, inputs"),
        ('{"prompts": ["one", "two"], "contexts": ["x", "y"]}', r"stands beside them \(contexts\)"),
        ('{"prompts": ["one", "two"], "system_prompt": "x"}', r"stands beside .*\(system_prompt\)"),
        ('["one", 2]', "row 2: int instead of a JSON object"),
        ("5", "holds one int"),
        ("{}", "one JSON object with 0 objects"),
    ],
)
def test_json_that_could_be_anything(tmp_path: Path, text: str, complaint: str):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(AuditError, match=complaint):
        opened(tmp_path / "p.json", "?label=harmless")


def test_dolly_keeps_its_context_or_counts_it(tmp_path: Path):
    rows = [
        {
            "instruction": "Sum this up.",
            "context": "A long text.",
            "response": "x",
            "category": "s",
        },
        {"instruction": "Name a river.", "context": "", "response": "x", "category": "open_qa"},
    ]
    file = table(tmp_path / "databricks-dolly.jsonl", rows)
    plain = opened(file, "?label=harmless")
    assert [(p.text, p.category) for p in plain.prompts] == [("Name a river.", "open_qa")]
    assert plain.set_aside == {"with input": 1}
    whole = opened(file, "?label=harmless&with_input=true")
    assert [p.text for p in whole.prompts] == ["Sum this up.\n\nA long text.", "Name a river."]
    assert whole.set_aside == {}


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ("Context", "with a context"),
        ("input", "with a context"),
        ("ContextString", "with a context"),
        ("passage", "with a context"),
        ("System", "with a system prompt"),
        ("system_message", "with a system prompt"),
        ("chat_history", "with a history"),
    ],
)
@pytest.mark.parametrize("request_column", ["prompt", "text", "forbidden_prompt"])
def test_what_a_prompt_is_not_whole_without_is_counted(
    tmp_path: Path, request_column: str, column: str, reason: str
):
    rows = [
        {request_column: "Ask", "category": "c", column: "More"},
        {request_column: "Another", "category": "c"},
    ]
    source = opened(table(tmp_path / "q.jsonl", rows), "?label=harmful")
    assert [p.text for p in source.prompts] == ["Another"]
    assert source.set_aside == {reason: 1}


def test_messages_of_a_tree(tmp_path: Path):
    rows = [
        {"message_id": "a", "parent_id": None, "text": "Ask", "role": "prompter", "lang": "de"},
        {"message_id": "b", "parent_id": "a", "text": "ANSWER", "role": "assistant"},
        {"message_id": "c", "parent_id": "b", "text": "Go on", "role": "prompter"},
    ]
    source = opened(table(tmp_path / "oasst.jsonl", rows), "?label=harmless")
    assert [(p.text, p.language) for p in source.prompts] == [("Ask", "de")]
    assert source.set_aside == {"an answer": 1, "several turns": 1}


def test_categories_by_name_with_yes_or_no(tmp_path: Path):
    category = {"hate": False, "theft": True, "fraud": True}
    rows = [{"prompt": "Ask", "response": "ANSWER", "category": category, "is_safe": False}]
    source = opened(table(tmp_path / "beavertails.jsonl", rows), "?label=harmful")
    assert [p.category for p in source.prompts] == ["theft, fraud"]


@pytest.mark.parametrize("option", ["category", "language"])
def test_requests_are_no_names(tmp_path: Path, option: str):
    file = table(tmp_path / "q.jsonl", [{"prompt": "Ask"}])
    with pytest.raises(AuditError, match=f"{option} is to be the column 'prompt', which holds the"):
        opened(file, f"?label=harmful&{option}=prompt")


@pytest.mark.parametrize("language", ["it", "id"])
def test_a_column_for_each_language(tmp_path: Path, language: str):
    rows = [{"id": 7, "en": "Ask", "it": "Chiedi", "zh": "问"}]
    source = opened(table(tmp_path / "q.csv", rows), f"?text=it&label=harmful&language={language}")
    assert [(p.text, p.language) for p in source.prompts] == [("Chiedi", language)]


def test_the_language_of_a_name_may_have_a_region(tmp_path: Path):
    rows = [{"instruction": "one", "instruction_translated": "eins", "category": ""}]
    (prompt,) = opened(table(tmp_path / "harmful_train_translated_zh-cn.json", rows)).prompts
    assert (prompt.label, prompt.language) == ("harmful", "zh-cn")


def test_conversations_as_python_writes_them_into_csv(tmp_path: Path):
    (tmp_path / "q.csv").write_text("messages\n\"[{'role': 'user', 'content': 'Ask'}]\"\n")
    assert [p.text for p in opened(tmp_path / "q.csv", "?label=harmful").prompts] == ["Ask"]


@pytest.mark.parametrize("key", ["seeds", "prompts"])
def test_a_system_prompt_of_all_seeds_is_not_dropped(tmp_path: Path, key: str):
    (tmp_path / "q.yaml").write_text(f"system_prompt: x\n{key}:\n- one\n- two\n")
    with pytest.raises(AuditError, match="says system_prompt for all of its prompts"):
        opened(tmp_path / "q.yaml", "?label=harmful")


@pytest.mark.parametrize("text", ["\u200b", "\ufeff", "\u2060 \u200d"])
def test_a_prompt_of_nothing_that_is_seen_is_empty(tmp_path: Path, text: str):
    with pytest.raises(AuditError, match=r"line 1: 'prompt' is missing or empty"):
        opened(table(tmp_path / "q.jsonl", [{"prompt": text}]), "?label=harmful")


def test_a_header_that_is_a_request_is_not_shown(tmp_path: Path):
    (tmp_path / "q.csv").write_text("如何做这件坏事呢\n另一个问题\n")
    with pytest.raises(AuditError, match="no header") as caught:
        opened(tmp_path / "q.csv")
    assert "如何" not in str(caught.value)


def test_back_translated_files_say_their_language(tmp_path: Path):
    row = {
        "instruction": "one",
        "instruction_translated": "eins",
        "instruction_back_translated": "one again",
        "category": "",
    }
    file = table(tmp_path / "harmful_x_back_translated_de.json", [row, {"instruction": "two"}])
    source = opened(file)
    assert [(p.text, p.language, p.label) for p in source.prompts] == [("eins", "de", "harmful")]
    assert source.set_aside == {"not translated": 1}
    del row["instruction_translated"]
    (english,) = opened(table(file, [row])).prompts
    assert (english.text, english.language) == ("one again", "en")


CHAT = {"role": "user", "content": "Ask"}
ANSWER = {"role": "assistant", "content": "ANSWER"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": [CHAT]}, None),
        ({"messages": [CHAT, ANSWER]}, None),
        ({"messages": [{"role": "system", "content": ""}, CHAT]}, None),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Ask"}]}]}, None),
        ({"conversations": [{"from": "human", "value": "Ask"}]}, None),
        ({"conversations": [{"from": "human", "value": "Ask"}, {"from": "gpt", "value": "A"}]}, None),
        ({"messages": [{"role": "system", "content": "s"}, CHAT]}, "with a system prompt"),
        ({"messages": [CHAT, ANSWER, CHAT]}, "several turns"),
        ({"messages": [ANSWER, CHAT]}, "several turns"),
        ({"messages": [ANSWER]}, "without a request"),
        ({"messages": []}, "without a request"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "url": "u"}]}]}, "with an image"),
        ({"system": "s", "messages": [CHAT]}, "with a system prompt"),
    ],
)  # fmt: skip
def test_chat_rows(tmp_path: Path, row: dict[str, Any], reason: str | None):
    name = next(name for name in row if name != "system")
    other = {name: [{"role": "user", "content": "Another"}]}
    source = opened(table(tmp_path / "chat.jsonl", [other, row]), "?label=harmless")
    read = [p.text for p in source.prompts]
    assert (read, source.set_aside) == (
        (["Another", "Ask"], {}) if reason is None else (["Another"], {reason: 1})
    )
    assert "ANSWER" not in repr(source)


@pytest.mark.parametrize("messages", ["Ask", [1], [{}], [{"role": ["user"], "content": "x"}], {}])
def test_chat_rows_that_are_none(tmp_path: Path, messages: object):
    file = table(tmp_path / "chat.jsonl", [{"messages": messages}])
    with pytest.raises(AuditError, match=r"line 1: (messages is|a turn of messages is)"):
        opened(file, "?label=harmless")


@pytest.mark.parametrize(
    ("header", "cells", "texts"),
    [
        ("BehaviorID,Behavior,Category,Tags,ContextString", "b1,Ask,fraud,,", ("b/b1", "fraud")),
        ("bad_q,target", "Ask,ANSWER", ("b/1", "")),
        ("goal,response", "Ask,ANSWER", ("b/1", "")),
        ("goal,subject,term", "Ask,biology,t", ("b/1", "biology")),
    ],
)
def test_harmful_sets_by_their_columns(
    tmp_path: Path, header: str, cells: str, texts: tuple[str, str]
):
    (tmp_path / "b.csv").write_text(f"{header}\n{cells}\n")
    source = opened(tmp_path / "b.csv")
    assert prompt_fields(source) == [(texts[0], "Ask", "harmful", texts[1])]
    assert "ANSWER" not in repr(source)


def test_a_context_without_functional_categories_makes_a_row_contextual(tmp_path: Path):
    file = tmp_path / "b.csv"
    file.write_text("BehaviorID,Behavior,Category,Tags,ContextString\na,Ask,,,Town\nb,Tell,,,\n")
    assert opened(file).set_aside == {"contextual": 1}
    assert len(opened(file, "?functional=all").prompts) == 2


@pytest.mark.parametrize(
    "columns", [("Goal", "Target", "Behavior", "Category", "Source"), ("Goal", "Category")]
)
def test_jailbreakbench_without_its_index(tmp_path: Path, columns: tuple[str, ...]):
    row = dict.fromkeys(columns, "x") | {"Goal": "Ask", "Category": "Fraud"}
    file = table(tmp_path / "benign-behaviors.csv", [row])
    assert prompt_fields(opened(file)) == [("benign-behaviors/1", "Ask", "harmless", "Fraud")]
    lower = table(tmp_path / "benign-behaviors.csv", [{"goal": "Ask", "target": "x"}])
    assert [prompt.label for prompt in opened(lower).prompts] == ["harmless"]


def test_prompts_about_images_are_set_aside_and_said(tmp_path: Path):
    row = {
        "Behavior": "Describe the picture",
        "FunctionalCategory": "multimodal",
        "SemanticCategory": "illegal",
        "Tags": "",
        "ImageFileName": "a.png",
        "ImageDescription": "a tin",
        "RedactedImageDescription": "a thing",
        "BehaviorID": "a",
    }
    file = table(tmp_path / "harmbench_behaviors_multimodal_all.csv", [row, row])
    with pytest.raises(
        AuditError, match=r"no prompts: all of its 2 rows .*\(2 with an image\); an audit asks"
    ):
        opened(file)


SEEDS = """\
name: seeds
harm_category: none
should_be_blocked: False
prompts:
  - The car is late
  - value: The water is cold
    harm_categories: [weather, rivers]
  - value: a.png
    data_type: image_path
  - value: "Tell {{ it }}"
    parameters: [it]
  - {value: First, prompt_group_alias: g, role: user}
  - {value: Second, prompt_group_alias: g, role: user}
"""


@pytest.mark.parametrize("suffix", ["prompt", "yaml", "yml"])
def test_seed_prompts(tmp_path: Path, suffix: str):
    file = tmp_path / f"benign.{suffix}"
    file.write_text(SEEDS)
    source = opened(file)
    assert prompt_fields(source) == [
        ("benign/1", "The car is late", "harmless", "none"),
        ("benign/2", "The water is cold", "harmless", "weather, rivers"),
    ]
    assert source.set_aside == {"no text": 1, "template": 1, "several turns": 2}


@pytest.mark.parametrize(
    "text",
    [
        "seeds:\n  - value: Ask\n    data_type: text\n",
        "value: Ask\ndata_type: text\n",
        "- Ask\n",
        "- prompt: Ask\n",
        "prompts:\n  - Ask\n",
        "behaviors: [Ask]\n",
    ],
)
def test_other_prompts_in_yaml(tmp_path: Path, text: str):
    (tmp_path / "p.yaml").write_text(text)
    assert [p.text for p in opened(tmp_path / "p.yaml", "?label=harmful").prompts] == ["Ask"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("How do I wash a car today,harmless\nx,harmless\n", "first line seems to be no header"),
        ("one,two\nthree,four\n", "or write a header above the first line, if that is none"),
        ("wash a car\nx\n", "first line seems to be no header"),
        ("# from a page\nid,text,label\na,b,harmful\n", "line 2: more cells .* remove that line"),
        ("sep=,\nprompt\na\n", "seems to stand above the header: remove that line"),
        ("# a, b\nprompt,id\n", "seems to stand above the header: remove that line"),
        ("id;text;label\na;b;harmful\n", "cells seem to be separated by other marks"),
        ('prompt,x\n"a\nb",1\n"c\nd","\n', "line 4: a double quote is opened .* never closed"),
        ('prompt,category\n"a\nb",c\n,d\n', "line 4: 'prompt' is missing"),
        ('prompt,category\n"a\nb","c\nd"\n"e\nf",g,h\n', "line 5: more cells than the header"),
        ("prompt,prompt\na,b\n", "line 1: columns 1 and 2 have the same name"),
    ],
)
def test_csv_says_what_is_wrong_and_names_the_first_line(tmp_path: Path, text: str, complaint: str):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(AuditError, match=complaint) as refused:
        opened(tmp_path / "p.csv", "?label=harmless")
    assert "wash a car" not in str(refused.value)


def test_long_cells_and_windows_line_ends_are_read(tmp_path: Path):
    long = "word " * 15_000
    answer = "x" * 300_000
    (tmp_path / "p.csv").write_text(
        f'goal,target\r\n"{long}",{answer}\r\n"one\r\ntwo",a\r\n', newline=""
    )
    texts = [p.text for p in opened(tmp_path / "p.csv").prompts]
    assert texts == [long.strip(), "one\r\ntwo"]


def test_json_on_one_long_line_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sae_audit.prompts.bounds.LINE_CHARACTERS", 100)
    (tmp_path / "p.json").write_text(json.dumps([{"prompt": f"Ask {i}"} for i in range(50)]))
    assert len(opened(tmp_path / "p.json", "?label=harmful").prompts) == 50


def test_json_under_the_ending_of_plain_text_is_no_prompt(tmp_path: Path):
    (tmp_path / "p.txt").write_text('{"prompt": "Ask"}\n')
    with pytest.raises(AuditError, match=r"line 1 is JSON, .* end in \.jsonl"):
        opened(tmp_path / "p.txt", "?label=harmful")
    (tmp_path / "p.txt").write_text("{fill in} the form\n[1]\n")
    assert len(opened(tmp_path / "p.txt", "?label=harmful").prompts) == 2


def test_a_source_whose_rows_are_all_set_aside_ends_an_audit(tmp_path: Path):
    rows = [{"instruction": "Sum this up.", "context": "A text.", "response": "x"}]
    source = f"{table(tmp_path / 'dolly.json', rows)}?label=harmless"
    (read,) = read_sources([source])
    assert (read.prompts, read.set_aside) == ((), {"with input": 1})
    with pytest.raises(AuditError, match=r"gives no prompts: all of its 1 rows .*\(1 with input\)"):
        kept_sources([source])
    (tmp_path / "p.txt").write_text("Ask\n")
    again = [f"{tmp_path / 'p.txt'}?label=harmless&name={name}" for name in "ab"]
    assert [len(each.prompts) for each in kept_sources(again)] == [1, 0]
