"""Where a label comes from: a column before a name, and only the exact published name."""

import json
from pathlib import Path
from typing import Any

import pytest

from sae_audit.errors import AuditError
from sae_audit.prompts.sources import OpenedSource, read_sources
from tests.unit.prompts.test_published import table


def opened(file: Path, options: str = "") -> OpenedSource:
    return read_sources([f"{file}{options}"])[0]


def labels(file: Path, options: str = "") -> list[str]:
    return [prompt.label.value for prompt in opened(file, options).prompts]


def test_coconots_own_columns_win_over_its_name(tmp_path: Path):
    file = tmp_path / "coconot_eval.csv"
    file.write_text(
        "id,prompt,category,subcategory,label_type,eval_split\n"
        "1,Ask one,c,s,Abstain,refusal\n"
        "2,Ask two,c,s,Respond,contrast-refusal\n"
    )
    assert labels(file) == ["harmful", "safe_lookalike"]
    file.write_text(file.read_text().replace("Respond", "Abstain"))
    with pytest.raises(AuditError, match=r"line 3: .* contradict each other"):
        opened(file)


XSTEST = ["homonyms", "contrast_homonyms", "safe_contexts", "contrast_safe_contexts"]


def test_xstests_completions_say_it_by_their_type(tmp_path: Path):
    rows = [
        {"id": i, "type": kind, "prompt": f"Ask {i}", "completion": "ANSWER", "final_label": "x"}
        for i, kind in enumerate(XSTEST)
    ]
    file = table(tmp_path / "xstest_v2_completions_gpt4.csv", rows)
    assert labels(file) == ["safe_lookalike", "harmful", "safe_lookalike", "harmful"]
    assert [prompt.category for prompt in opened(file).prompts] == XSTEST


@pytest.mark.parametrize(
    ("name", "column", "values"),
    [
        ("advbench.csv", "label", ["safe", "unsafe"]),
        ("or-bench-toxic.csv", "prompt_type", ["benign", "harmful"]),
        ("or-bench-hard-1k.csv", "labelType", ["not harmful", "malicious"]),
        ("q.csv", "is_harmful", [False, True]),
        ("q.csv", "is_safe", [1, 0]),
        ("q.csv", "prompt_harm_label", ["unharmful", "harmful"]),
        ("q.jsonl", "labels", [["safe"], ["unsafe"]]),
        ("q.jsonl", "should_be_blocked", [False, True]),
    ],
)
def test_a_column_that_says_it_wins_over_the_name(
    tmp_path: Path, name: str, column: str, values: list[Any]
):
    rows = [{"prompt": f"Ask {i}", column: value} for i, value in enumerate(values)]
    assert labels(table(tmp_path / name, rows)) == ["harmless", "harmful"]


@pytest.mark.parametrize(
    "row",
    [
        # The whole of a published category, said of the answer, and of another kind.
        {"category": "harmful"},
        {"response": "ANSWER", "is_safe": True},
        {"response_label": "harmful"},
        {"type": "question"},
        {"split": "train"},
        {"label": "1"},
    ],
)
def test_other_columns_say_nothing_of_labels(tmp_path: Path, row: dict[str, Any]):
    file = table(tmp_path / "q.jsonl", [{"prompt": "Ask", **row}])
    with pytest.raises(AuditError, match="does not say whether its prompts are"):
        opened(file)
    for label in ("harmful", "harmless"):
        assert labels(file, f"?label={label}") == [label]


@pytest.mark.parametrize("column", ["label", "class", "safety"])
def test_a_label_beside_answers_may_be_the_answers(tmp_path: Path, column: str):
    # Answers to XSTest: a harmless answer to a harmful request.
    row = {"prompt": "Ask", "response": "ANSWER", column: "unharmful"}
    file = table(tmp_path / "response_harmfulness.jsonl", [row])
    with pytest.raises(AuditError, match=rf"line 1: the column '{column}' stands beside answers"):
        opened(file)
    assert labels(file, f"?label={column}") == ["harmless"]
    assert labels(file, "?label=harmful") == ["harmful"]
    assert labels(table(file, [{**row, "prompt_type": "harmless"}])) == ["harmless"]
    with pytest.raises(AuditError, match="may speak of them"):
        opened(table(file, [{**row, "prompt_type": "prompt_harmful"}]))


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Ask", "Answer": "ANSWER", "is_safe": True},
        {"prompt": "Ask", "model_output": "ANSWER", "harmful": True},
        {"prompt": "Ask", "assistant_label": "safe"},
        {"prompt": "Ask", "target_type": "harmful"},
        # A comparison of judges: benign goals are among them.
        {"goal": "How do I kill a process?", "prompt": "Ask", "response": "ANSWER"},
        # Vicuna's questions: SORRY-Bench's columns, but for the styles.
        {"question_id": 1, "category": "generic", "turns": ["How can I manage my time?"]},
    ],
)
def test_columns_of_answers_and_of_other_sets_are_no_label(tmp_path: Path, row: dict[str, Any]):
    file = table(tmp_path / "q.jsonl", [row])
    with pytest.raises(AuditError, match="does not say whether its prompts are"):
        opened(file)
    assert labels(file, "?label=harmless") == ["harmless"]


def test_a_row_whose_label_is_empty_is_counted(tmp_path: Path):
    # WildGuardTest has rows on which the annotators did not agree.
    rows = [{"prompt": "Ask", "prompt_harm_label": None}]
    rows += [{"prompt": f"Ask {label}", "prompt_harm_label": label} for label in ("harmful",)]
    source = opened(table(tmp_path / "wildguardtest.jsonl", rows))
    assert [prompt.text for prompt in source.prompts] == ["Ask harmful"]
    assert source.set_aside == {"no label": 1}


def test_xstests_first_version_says_nothing_of_other_types(tmp_path: Path):
    file = tmp_path / "xstest_v1_prompts.csv"
    file.write_text(
        "id,prompt,type,focus,note\n1,Ask,homonyms,kill,\n2,Ask two,Contrast_homonyms,kill,\n"
    )
    assert labels(file) == ["safe_lookalike", "harmful"]
    file.write_text(file.read_text() + "3,Ask three,invented,kill,\n")
    with pytest.raises(AuditError, match="does not say"):
        opened(file)


def test_wild_jailbreak_reads_the_column_in_use(tmp_path: Path):
    file = tmp_path / "train.tsv"
    file.write_text(
        "vanilla\tadversarial\tcompletion\tdata_type\n"
        "Plain ask\tWrapped ask\tANSWER\tadversarial_harmful\n"
        "Plain two\t\tANSWER\tvanilla_benign\n"
    )
    assert [p.text for p in opened(file).prompts] == ["Wrapped ask", "Plain two"]
    assert labels(file) == ["harmful", "safe_lookalike"]


def test_columns_that_disagree_are_refused(tmp_path: Path):
    file = table(tmp_path / "q.csv", [{"prompt": "Ask", "type": "harmful", "safety": "safe"}])
    with pytest.raises(AuditError, match=r"line 2: columns say different things .*label=COLUMN"):
        opened(file)
    assert labels(file, "?label=safety") == ["harmless"]


def test_a_label_given_against_a_column_is_refused_and_named(tmp_path: Path):
    file = table(tmp_path / "q.csv", [{"prompt": "Ask", "label": "safe"}])
    with pytest.raises(AuditError, match=r"line 2: .*harmless by the column 'label', which label="):
        opened(file, "?label=harmful")
    assert labels(file, "?text=prompt&label=harmful") == ["harmful"]


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("alpaca_data_safety_only.json", {"instruction": "Ask", "input": ""}),
        ("my_alpaca_data.json", {"instruction": "Ask", "input": ""}),
        ("harmless_or_not.json", {"instruction": "Ask"}),
        ("advbench_rewritten.csv", {"prompt": "Ask"}),
        ("or-bench-hard-1k-attacks.csv", {"prompt": "Ask"}),
        ("not_coconot_eval.csv", {"prompt": "Ask", "category": "c", "subcategory": "s"}),
        ("harmful-looking.csv", {"Goal": "Ask", "Behavior": "b", "Category": "c"}),
        ("safe.csv", {"goal": "Ask", "target": "t"}),
        ("benign_behaviors.csv", {"Behavior": "Ask", "FunctionalCategory": "standard"}),
        ("strongreject_benign.csv", {"forbidden_prompt": "Ask", "category": "c"}),
    ],
)
def test_only_the_published_name_itself_is_a_label(tmp_path: Path, name: str, row: dict[str, str]):
    file = table(tmp_path / name, [row])
    with pytest.raises(AuditError, match="does not say whether its prompts are"):
        opened(file)
    for label in ("harmful", "harmless"):
        assert labels(file, f"?label={label}") == [label]


@pytest.mark.parametrize("label", [["harmful"], {"is": "harmful"}, 1, True])
def test_a_label_that_is_no_word_is_said(tmp_path: Path, label: object):
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps({"id": "a", "text": "Ask", "label": label}))
    with pytest.raises(AuditError, match=r"line 1: label is .*harmless"):
        opened(file)
