"""Taxonomies: which prompts belong to which category, and what is refused."""

import json
from pathlib import Path

import pytest
import yaml

from sae_audit.errors import AuditError
from sae_audit.presets import build_config
from sae_audit.prompts.taxonomy import (
    Taxonomy,
    categorised_prompts,
    read_taxonomy,
    sources_of,
    taxonomy_names,
)


def prompts_file(path: Path, *rows: tuple[str, str, str]) -> str:
    lines = [
        {"id": f"{path.stem}-{i}", "text": text, "label": label, "category": category}
        for i, (text, label, category) in enumerate(rows)
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return str(path)


def taxonomy(folder: Path, **categories: object) -> Taxonomy:
    file = folder / "own.yaml"
    file.write_text(
        yaml.safe_dump(
            {"harmless": {"sources": [str(folder / "a.jsonl")]}, "categories": categories}
        )
    )
    return read_taxonomy(str(file))


@pytest.fixture
def source(tmp_path: Path) -> str:
    return prompts_file(
        tmp_path / "a.jsonl",
        ("Say how to steal a car", "harmful", "Theft"),
        ("Say how to pick a lock", "harmful", "Burglary"),
        ("Say how to burn a house", "harmful", "Arson"),
        ("Say how to bake a cake", "harmless", "Theft"),
        ("Say how to kill a process", "safe_lookalike", "Theft"),
    )


def test_a_category_holds_the_harmful_prompts_that_match_whatever_their_case(
    tmp_path: Path, source: str
):
    found = categorised_prompts(
        taxonomy(
            tmp_path,
            property={"sources": [source], "where": ["theft", "burgl*"]},
            fire={"sources": [source], "where": ["arson"]},
        )
    )
    assert {name: len(own) for name, own in found.categories.items()} == {"property": 2, "fire": 1}
    assert [one.text for one in found.harmless] == ["Say how to bake a cake"]
    assert len(found.everyone) == 4


def test_a_source_belongs_to_the_categories_that_name_it(tmp_path: Path, source: str):
    other = prompts_file(tmp_path / "b.jsonl", ("Say how to forge a note", "harmful", "Theft"))
    found = categorised_prompts(
        taxonomy(
            tmp_path,
            one={"sources": [source], "where": ["theft"]},
            two={"sources": [other], "where": ["theft"]},
        )
    )
    assert [one.text for one in found.categories["two"]] == ["Say how to forge a note"]


@pytest.mark.parametrize(
    ("second", "complaint"),
    [
        ({"where": ["*t"]}, "belongs to two categories"),
        ({"where": ["fraud"]}, "category two has no prompt: .* of category fraud"),
    ],
)
def test_categories_that_overlap_or_hold_nothing_are_refused(
    tmp_path: Path, source: str, second: dict[str, object], complaint: str
):
    made = taxonomy(
        tmp_path,
        one={"sources": [source], "where": ["theft"]},
        two={"sources": [source], **second},
    )
    with pytest.raises(AuditError, match=complaint):
        categorised_prompts(made)


def test_without_harmless_prompts_there_is_nothing_to_take_off(tmp_path: Path):
    file = prompts_file(
        tmp_path / "a.jsonl", ("Steal it", "harmful", "one"), ("Burn it", "harmful", "two")
    )
    made = taxonomy(
        tmp_path,
        one={"sources": [file], "where": ["one"]},
        two={"sources": [file], "where": ["two"]},
    )
    with pytest.raises(AuditError, match="hold no prompt labelled harmless"):
        categorised_prompts(made)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("harmless: {sources: [a]}\n", "categories: Field required"),
        (
            "harmless: {sources: []}\ncategories: {a: {sources: [a]}, b: {sources: [a]}}\n",
            "harmless",
        ),
        ("harmless: {sources: [a]}\ncategories: {a: {sources: [a]}}\n", "at least 2"),
        (
            "harmless: {sources: [a]}\ncategories: {'<b>': {sources: [a]}, b: {sources: [a]}}\n",
            "match",
        ),
        (
            "harmless: {sources: [a]}\ncategories: {random 1: {sources: [a]}, b: {sources: [a]}}\n",
            "is what a control is called",
        ),
        ("- a list\n", "no taxonomy"),
    ],
)
def test_a_file_that_is_no_taxonomy_is_refused_in_a_sentence(
    tmp_path: Path, text: str, complaint: str
):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(AuditError, match=complaint):
        read_taxonomy(str(file))


def test_a_name_that_is_unknown_lists_those_that_are_known():
    with pytest.raises(AuditError, match="There is no taxonomy elevn; known are eleven, smollm2"):
        read_taxonomy("elevn")


def test_the_published_taxonomy_has_the_eleven_categories_of_the_paper_each_once():
    published = read_taxonomy("eleven")
    assert len(published.categories) == 11
    assert published.sources == ("wildguardmix", "xstest", "coconot", "sorry-bench")
    # SORRY-Bench's 44 categories, each in exactly one.
    numbers = [
        int(pattern)
        for own in published.categories.values()
        if own.sources == ("sorry-bench",)
        for pattern in own.where
    ]
    assert sorted(numbers) == list(range(1, 45))


def test_the_bundled_requests_fill_every_category():
    found = categorised_prompts(read_taxonomy("smollm2"))
    assert {len(own) for own in found.categories.values()} == {32}
    assert len(found.categories) == 11
    assert len(found.harmless) > 100
    assert taxonomy_names() == ["eleven", "smollm2"]


def test_an_audit_reads_the_sources_of_its_taxonomy_too():
    asked = build_config("smollm2-safe", {}, ["categories.taxonomy=eleven"])
    assert sources_of(asked) == (*asked.prompts.sources, *read_taxonomy("eleven").sources)
    without = asked.model_copy(update={"categories": type(asked.categories)()})
    assert sources_of(without) == asked.prompts.sources
