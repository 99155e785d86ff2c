"""Splits share nothing, not even in nearly the same words, and depend on prompts and seed alone."""

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae_audit.config import PromptSettings
from sae_audit.errors import AuditError
from sae_audit.prompts.near_duplicates import are_near_duplicates
from sae_audit.prompts.selection import left_out, selected
from sae_audit.prompts.splits import split_prompts
from sae_audit.prompts.types import CONTRASTED, Label, Prompt


def prompts(n: int) -> list[Prompt]:
    return [
        Prompt(id=f"{label.value}-{i}", text=f"{label.value} request {i}", label=label)
        for label in CONTRASTED
        for i in range(n)
    ]


def sizes(train: int, validation: int, audit: int) -> PromptSettings:
    return PromptSettings(sources=("x",), train=train, validation=validation, audit=audit)


@given(st.integers(0, 10_000), st.integers(4, 9), st.integers(4, 9), st.integers(4, 9))
def test_no_prompt_is_in_two_splits(seed: int, train: int, validation: int, audit: int):
    splits = split_prompts(prompts(30), sizes(train, validation, audit), seed)
    ids = [p.id for part in splits.named().values() for p in part]
    assert len(ids) == len(set(ids)) == 2 * (train + validation + audit)
    assert all(p.label == Label.HARMFUL for p in splits.audit.harmful)


def test_the_order_of_the_file_does_not_matter():
    forwards = split_prompts(prompts(20), sizes(4, 4, 4), 3)
    assert forwards == split_prompts(prompts(20)[::-1], sizes(4, 4, 4), 3)
    assert forwards != split_prompts(prompts(20), sizes(4, 4, 4), 4)


def test_the_same_text_twice_counts_once():
    twins = [
        Prompt(id=f"twin-{i}", text="Harmful  REQUEST 1", label=Label.HARMFUL) for i in range(9)
    ]
    with pytest.raises(AuditError, match="11 distinct harmful prompts, but 12 are needed"):
        split_prompts([*prompts(11)[:11], *twins, *prompts(20)[20:]], sizes(4, 4, 4), 0)


def test_too_few_prompts_name_the_setting():
    with pytest.raises(AuditError, match=r"--set prompts\.train=N"):
        split_prompts(prompts(5), sizes(4, 4, 4), 0)


WORDS = [f"word{i}" for i in range(16)]
NEARLY = st.tuples(st.integers(0, 15), st.sampled_from(["new", "old", "red", "blue", "tall"]))


@given(st.lists(NEARLY, max_size=30), st.integers(0, 100), st.randoms())
def test_near_duplicates_never_lie_in_two_splits(changes: list, seed: int, random):
    """Distinct prompts, and among them any number that differ from one in a word or two."""
    variants = [
        Prompt(
            id=f"variant-{i}",
            text=" ".join([*WORDS[:place], word, *WORDS[place + 1 :]]),
            label=Label.HARMFUL,
        )
        for i, (place, word) in enumerate(changes)
    ]
    pool = [*prompts(14), *variants]
    splits = split_prompts(pool, sizes(4, 4, 6), seed)
    for one, other in combinations(splits.named().values(), 2):
        assert not any(
            are_near_duplicates(a.text, b.text) for a in one.harmful for b in other.harmful
        )
    random.shuffle(pool)
    assert split_prompts(pool, sizes(4, 4, 6), seed) == splits


def test_near_duplicates_are_counted_and_said():
    long = " ".join(WORDS)
    twins = [
        Prompt(id=f"twin-{i}", text=f"{long} {end}", label=Label.HARMFUL)
        for i, end in enumerate(["now", "then", "soon"])
    ]
    splits = split_prompts([*prompts(12), *twins], sizes(4, 4, 4), 0)
    assert splits.near_duplicates == {"harmful": 2, "harmless": 0, "safe_lookalike": 0}
    with pytest.raises(
        AuditError, match=r"10 distinct harmful .*; 2 more nearly repeat one of them"
    ):
        split_prompts([*prompts(9), *twins], sizes(4, 4, 4), 0)


def test_categories_and_languages():
    settings = sizes(4, 4, 4).model_copy(update={"categories": ("fraud",), "languages": ("de",)})
    pool = [
        replace(p, id=f"{p.id}{c}{lang}", text=f"{p.text} {c} {lang}", category=c, language=lang)
        for p in prompts(12)
        for c in ("fraud" if p.label == Label.HARMFUL else "", "theft")
        for lang in ("de", "fr")
    ]
    splits = split_prompts(pool, settings, 0)
    assert {p.category for p in splits.audit.harmful} == {"fraud"}
    assert {p.category for p in splits.audit.harmless} == {""}
    assert {p.language for p in splits.audit} == {"de"}
    assert left_out(pool, settings) == {"of other categories": 48, "in other languages": 24}
    assert len(selected(pool, settings)) == len(pool) - 48 - 24


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("categories", "prompts.categories: no prompt has 'x'; there are fraud, theft"),
        (
            "languages",
            "prompts.languages: no prompt has 'x', and none says anything of its languages",
        ),
    ],
)
def test_a_filter_that_nothing_passes_says_what_there_is(setting: str, complaint: str):
    pool = [
        Prompt(id=f"{p.id}{c}", text=p.text, label=p.label, category=c)
        for p in prompts(3)
        for c in ("fraud", "theft")
    ]
    with pytest.raises(AuditError, match=complaint):
        split_prompts(pool, sizes(4, 4, 4).model_copy(update={setting: ("x",)}), 0)
