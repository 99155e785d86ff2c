"""Splits share nothing, and depend on prompts and seed alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae_audit.config import PromptSettings
from sae_audit.errors import AuditError
from sae_audit.prompts.splits import split_prompts
from sae_audit.prompts.types import Label, Prompt


def prompts(n: int) -> list[Prompt]:
    return [
        Prompt(id=f"{label.value}-{i}", text=f"{label.value} request {i}", label=label)
        for label in Label
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
