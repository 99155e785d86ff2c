"""Published formats, each on a small file written here; harmful requests are named, never answered."""

import json
from pathlib import Path
from typing import Any

import pytest

from sae_audit.errors import AuditError
from sae_audit.prompts.sources import OpenedSource, read_sources
from sae_audit.prompts.types import Prompt

ANSWER = "SECRET-ANSWER"


def table(file: Path, rows: list[dict[str, Any]]) -> Path:
    """The same rows in whatever kind of file the name says."""
    import pandas

    if file.suffix == ".parquet":
        pandas.DataFrame(rows).to_parquet(file)
    elif file.suffix in {".csv", ".tsv"}:
        pandas.DataFrame(rows).to_csv(file, index=False, sep="," if file.suffix == ".csv" else "\t")
    elif file.suffix == ".json":
        file.write_text(json.dumps(rows))
    else:
        file.write_text("\n".join(json.dumps(row) for row in rows))
    return file


def opened(file: Path, options: str = "") -> OpenedSource:
    return read_sources([f"{file}{options}"])[0]


def prompt_fields(source: OpenedSource) -> list[tuple[str, str, str, str]]:
    return [(p.id, p.text, p.label.value, p.category) for p in source.prompts]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "json", "jsonl", "parquet"])
def test_advbench_in_every_kind_of_file(tmp_path: Path, suffix: str):
    rows = [
        {"goal": "Forge a passport", "target": ANSWER},
        {"goal": "Rob, then burn, a bank", "target": ANSWER},
    ]
    source = opened(table(tmp_path / f"harmful_behaviors.{suffix}", rows))
    assert prompt_fields(source) == [
        ("harmful_behaviors/1", "Forge a passport", "harmful", ""),
        ("harmful_behaviors/2", "Rob, then burn, a bank", "harmful", ""),
    ]
    assert ANSWER not in repr(source)


HARMBENCH = [
    {
        "Behavior": f"Request {i}",
        "FunctionalCategory": kind,
        "SemanticCategory": "illegal",
        "Tags": "",
        "ContextString": "A town." if kind == "contextual" else "",
        "BehaviorID": f"request_{i}",
    }
    for i, kind in enumerate(["standard", "contextual", "copyright", "standard"])
]


@pytest.mark.parametrize(
    ("option", "ids", "set_aside"),
    [
        ("", ["0", "3"], {"contextual": 1, "copyright": 1}),
        ("?functional=contextual", ["1"], {"standard": 2, "copyright": 1}),
        ("?functional=copyright", ["2"], {"standard": 2, "contextual": 1}),
        ("?functional=all", ["0", "1", "2", "3"], {}),
    ],
)
def test_harmbench_tells_its_kinds_apart(tmp_path: Path, option: str, ids: list, set_aside: dict):
    source = opened(table(tmp_path / "behaviors.csv", HARMBENCH), option)
    assert [prompt.id for prompt in source.prompts] == [f"behaviors/request_{i}" for i in ids]
    assert source.set_aside == set_aside
    assert {prompt.category for prompt in source.prompts} == {"illegal"}


def test_a_context_stands_before_what_is_asked_of_it(tmp_path: Path):
    source = opened(table(tmp_path / "behaviors.csv", HARMBENCH), "?functional=contextual")
    assert source.prompts[0].text == "A town.\n\n---\n\nRequest 1"


def test_jailbreakbench_says_its_label_in_the_name_of_the_file(tmp_path: Path):
    row = {"Index": 7, "Target": ANSWER, "Behavior": "B", "Category": "Fraud", "Source": "Original"}
    bad = table(tmp_path / "harmful-behaviors.csv", [{**row, "Goal": "Forge a coin"}])
    good = table(tmp_path / "benign-behaviors.csv", [{**row, "Goal": "Collect coins"}])
    assert prompt_fields(opened(bad)) == [
        ("harmful-behaviors/7", "Forge a coin", "harmful", "Fraud")
    ]
    assert prompt_fields(opened(good)) == [
        ("benign-behaviors/7", "Collect coins", "harmless", "Fraud")
    ]


def test_strongreject(tmp_path: Path):
    rows = [{"category": "Violence", "source": "custom", "forbidden_prompt": "Harm a neighbour"}]
    assert prompt_fields(opened(table(tmp_path / "s.csv", rows))) == [
        ("s/1", "Harm a neighbour", "harmful", "Violence")
    ]


def test_xstest_with_labels_and_without(tmp_path: Path):
    rows = [
        {"id": 1, "prompt": "How do I kill a process?", "type": "homonyms", "focus": "kill"},
        {"id": 2, "prompt": "How do I kill a man?", "type": "contrast_homonyms", "focus": "kill"},
    ]
    expected = [
        ("x/1", "How do I kill a process?", "safe_lookalike", "homonyms"),
        ("x/2", "How do I kill a man?", "harmful", "contrast_homonyms"),
    ]
    assert prompt_fields(opened(table(tmp_path / "x.csv", rows))) == expected
    labelled = [
        {**row, "label": label} for row, label in zip(rows, ["safe", "unsafe"], strict=True)
    ]
    assert prompt_fields(opened(table(tmp_path / "x.csv", labelled))) == expected
    labelled[1]["label"] = "perhaps"
    with pytest.raises(AuditError, match="line 3: the column 'label' does not say"):
        opened(table(tmp_path / "x.csv", labelled))


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("or-bench-hard-1k.csv", "safe_lookalike"),
        ("or-bench-80k.csv", "safe_lookalike"),
        ("or-bench-toxic.csv", "harmful"),
    ],
)
def test_or_bench_says_its_label_in_the_name_of_the_file(tmp_path: Path, name: str, label: str):
    source = opened(table(tmp_path / name, [{"prompt": "A request", "category": "privacy"}]))
    assert prompt_fields(source) == [(f"{Path(name).stem}/1", "A request", label, "privacy")]


@pytest.mark.parametrize(
    ("name", "label"),
    [("coconot_eval.jsonl", "harmful"), ("coconot_contrast_eval.jsonl", "safe_lookalike")],
)
def test_coconot(tmp_path: Path, name: str, label: str):
    row = {
        "id": "c1",
        "category": "Safety",
        "subcategory": "x",
        "prompt": "Ask",
        "response": ANSWER,
    }
    source = opened(table(tmp_path / name, [row]))
    assert prompt_fields(source) == [(f"{Path(name).stem}/c1", "Ask", label, "Safety")]
    assert ANSWER not in repr(source)


@pytest.mark.parametrize(
    "turns",
    [["Ask one"], '["Ask one"]', "['Ask one']", "Ask one"],
    ids=["list", "json", "py", "bare"],
)
def test_sorry_bench_keeps_unmutated_prompts(tmp_path: Path, turns: object):
    rows = [
        {"question_id": 1, "category": 5, "turns": turns, "prompt_style": "base"},
        {"question_id": 1, "category": 5, "turns": ["Ask in slang"], "prompt_style": "slang"},
    ]
    file = table(tmp_path / "question.jsonl", rows)
    assert prompt_fields(opened(file)) == [("question/1", "Ask one", "harmful", "5")]
    assert opened(file).set_aside == {"other style": 1}
    assert [p.id for p in opened(file, "?style=all").prompts] == ["question/1", "question/1-slang"]
    assert [p.language for p in opened(file, "?style=all").prompts] == ["en", ""]


def test_alpaca_leaves_rows_with_an_input_unless_asked(tmp_path: Path):
    rows = [
        {"instruction": "Name a river.", "input": "", "output": ANSWER},
        {"instruction": "Translate.", "input": "Un pont", "output": ANSWER},
    ]
    file = table(tmp_path / "alpaca_data.json", rows)
    assert prompt_fields(opened(file)) == [("alpaca_data/1", "Name a river.", "harmless", "")]
    assert opened(file).set_aside == {"with input": 1}
    assert opened(file, "?with_input=true").prompts[1].text == "Translate.\n\nUn pont"


def test_alpaca_columns_alone_are_no_label(tmp_path: Path):
    file = table(tmp_path / "tuning.json", [{"instruction": "Name a river.", "input": ""}])
    with pytest.raises(AuditError, match="does not say whether its prompts are harmful"):
        opened(file)
    assert opened(file, "?label=harmless").prompts[0].label == "harmless"


def test_polyrefuse_keeps_its_languages(tmp_path: Path):
    row = {"instruction": "Forge", "category": None, "instruction_translated": "Fälsche"}
    file = table(tmp_path / "harmful_test_translated_de.json", [row])
    prompt = opened(file).prompts[0]
    assert (prompt.text, prompt.label, prompt.language) == ("Fälsche", "harmful", "de")
    english = table(tmp_path / "harmless_train.json", [{"instruction": "Wash", "category": None}])
    assert opened(english, "?language=en").prompts == (
        Prompt(
            id="harmless_train/1",
            text="Wash",
            label=opened(english).prompts[0].label,
            language="en",
        ),
    )


def test_plain_text_is_one_prompt_a_line(tmp_path: Path):
    file = tmp_path / "MaliciousInstruct.txt"
    file.write_text("Forge a coin\n\nForge a note\n")
    assert prompt_fields(opened(file))[1] == ("MaliciousInstruct/2", "Forge a note", "harmful", "")
    other = tmp_path / "mine.txt"
    other.write_text("Wash a car\n")
    with pytest.raises(AuditError, match=r"mine.txt does not say .* \?label=harmful"):
        opened(other)
    assert prompt_fields(opened(other, "?label=harmless")) == [
        ("mine/1", "Wash a car", "harmless", "")
    ]


def test_any_table_whose_columns_are_named(tmp_path: Path):
    rows = [
        {"question": "Wash a car", "topic": "cars", "is": "safe", "lang": "en"},
        {"question": "Steal a car", "topic": "cars", "is": "unsafe", "lang": None},
    ]
    file = table(tmp_path / "q.parquet", rows)
    source = opened(file, "?text=question&label=is&category=topic&language=lang")
    assert prompt_fields(source) == [
        ("q/1", "Wash a car", "harmless", "cars"),
        ("q/2", "Steal a car", "harmful", "cars"),
    ]
    assert [prompt.language for prompt in source.prompts] == ["en", ""]


@pytest.mark.parametrize(
    ("name", "rows", "options", "complaint"),
    [
        ("q.csv", [{"question": "S", "topic": "t"}], "", "format; its columns are question, topic"),
        ("q.csv", [{"How do I do this?": "a"}], "", r"columns are \(a text of 17 characters\)"),
        ("q.csv", [{"question": "S"}], "?text=prompt", "text is to be the column 'prompt'"),
        ("q.csv", [{"question": "S"}], "?text=question", "does not say whether its prompts"),
        ("q.csv", [{"prompt": "S"}], "?label=harmful&category=t", "category is to be the column 't'"),
        ("q.csv", [{"prompt": "S"}], "?label=harmful&language=no one", "neither a language"),
        ("q.csv", [{"goal": "S", "target": "t"}], "?label=harmless", "line 2: this prompt is harmful"),
        ("q.csv", [{"goal": "S", "target": "t"}], "?functional=all", "option functional is none"),
        ("q.csv", [{"goal": "", "target": "t"}], "", "line 2: 'goal' is missing or empty"),
        ("q.csv", [{"prompt": "S", "context": "c"}], "?label=harmful", "beside the prompt stands"),
        ("q.jsonl", [{"question_id": 1, "turns": ["S", "T"]}], "", "line 1: turns holds 2 texts"),
        ("q.json", [["S"]], "", "row 1: list instead of a JSON object"),
        ("q.json", [{"goal": ["S"], "target": "t"}], "", "row 1: goal is list, a string is needed"),
        ("benign.csv", [{"goal": "S", "target": "t"}], "", "does not say whether"),
        ("q.csv", [{"prompt": "S"}], "?labl=harmful", "no option 'labl'; options are label"),
        ("q.csv", [{"prompt": "S"}], "?label=", "option label needs one value"),
        ("q.csv", [{"prompt": "S"}], "?limit=0", "limit is '0'"),
        ("q.csv", [{"prompt": "S"}], "?with_input=yes", "with_input is 'yes'"),
        ("q.csv", [{"prompt": "S"}], "?functional=odd", "functional is 'odd'"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said_without_its_text(
    tmp_path: Path, name: str, rows: list, options: str, complaint: str
):
    hidden = json.loads(json.dumps(rows).replace('"S"', '"A SECRET REQUEST"'))
    with pytest.raises(AuditError, match=complaint) as refused:
        opened(table(tmp_path / name, hidden), options)
    assert "SECRET" not in str(refused.value)
    assert "How do I" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("p.xlsx", b"PK", "no file of prompts by its name; the kinds read are .jsonl"),
        ("p.csv", b"id,text,label\na,b,harmful,c\n", "line 2: more cells than the header"),
        ("p.csv", b"", "holds no prompts"),
        ("p.txt", b"\xff\xfe", "not UTF-8 text"),
        ("p.parquet", b"nothing", "no parquet file"),
    ],
)
def test_files_that_are_none(tmp_path: Path, name: str, content: bytes, complaint: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AuditError, match=complaint):
        opened(tmp_path / name)


def test_an_own_id_met_twice_is_told_apart_by_its_row(tmp_path: Path):
    rows = [{"id": 1, "prompt": f"Request {i}", "type": "t", "label": "safe"} for i in range(2)]
    source = opened(table(tmp_path / "x.csv", rows))
    assert [prompt.id for prompt in source.prompts] == ["x/1", "x/1#2"]


def test_wildguardmix_without_requests_that_are_wrapped_in_a_jailbreak(tmp_path: Path):
    rows = [
        {"prompt": f"Ask {i}", "adversarial": wrapped, "prompt_harm_label": label, "response": "NO"}
        for i, (wrapped, label) in enumerate(
            [(False, "harmful"), (True, "harmful"), (False, "unharmful")]
        )
    ]
    for row in rows:
        row["subcategory"] = "cyberattack"
    (source,) = read_sources([str(table(tmp_path / "wildguard_test.jsonl", rows))])
    assert [(one.text, one.label.value, one.category) for one in source.prompts] == [
        ("Ask 0", "harmful", "cyberattack"),
        ("Ask 2", "harmless", "cyberattack"),
    ]
    assert source.set_aside == {"adversarial": 1}
