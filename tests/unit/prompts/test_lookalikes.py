"""Safe look-alikes: who is one, and that nothing else changes for them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sae_audit.config import PromptSettings
from sae_audit.errors import AuditError
from sae_audit.prompts.labels import agreed
from sae_audit.prompts.sources import read_prompts
from sae_audit.prompts.splits import split_prompts
from sae_audit.prompts.types import Label, Prompt, Splits
from tests.unit.prompts.test_labels import labels, opened
from tests.unit.prompts.test_published import table


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("label", ["safe_lookalike", "harmful"]),
        ("label", ["Lookalike", "unsafe"]),
        ("prompt_type", ["benign look-alike", "toxic"]),
        ("class", ["look_alike", "malicious"]),
        ("data_type", ["vanilla_benign", "adversarial_harmful"]),
        ("type", ["historical_events", "contrast_definitions"]),
    ],
)
def test_a_column_says_it(tmp_path: Path, column: str, values: list[Any]):
    rows = [{"prompt": f"Ask {i}", column: value} for i, value in enumerate(values)]
    assert labels(table(tmp_path / "q.csv", rows)) == ["safe_lookalike", "harmful"]


def test_xstest_says_safe_and_which_kind_of_safe(tmp_path: Path):
    rows = [
        {"id": 1, "prompt": "Ask 1", "type": "homonyms", "label": "safe", "focus": "kill"},
        {"id": 2, "prompt": "Ask 2", "type": "contrast_homonyms", "label": "unsafe", "focus": ""},
    ]
    assert labels(table(tmp_path / "xstest_prompts.csv", rows)) == ["safe_lookalike", "harmful"]
    # Another table with such columns: safe of no kind that is XSTest's, so nothing is guessed.
    rows[0]["type"] = "homework"
    assert labels(table(tmp_path / "mine.csv", rows)) == ["harmless", "harmful"]
    rows[0] |= {"type": "homonyms", "label": "unsafe"}
    with pytest.raises(AuditError, match="say different things"):
        opened(table(tmp_path / "xstest_prompts.csv", rows))


def test_the_option_says_it_of_a_file_and_of_harmless_requests_only(tmp_path: Path):
    file = table(tmp_path / "mine.csv", [{"prompt": "Ask"}])
    assert labels(file, "?label=safe_lookalike") == ["safe_lookalike"]
    harmless = table(tmp_path / "kind.csv", [{"prompt": "Ask", "label": "safe"}])
    assert labels(harmless, "?label=safe_lookalike") == ["safe_lookalike"]
    for told, asked in (("harmful", "safe_lookalike"), ("lookalike", "harmless")):
        other = table(tmp_path / "other.csv", [{"prompt": "Ask", "label": told}])
        with pytest.raises(AuditError, match="contradicts"):
            opened(other, f"?label={asked}")


def test_only_harmless_agrees_with_look_alike():
    assert agreed({Label.HARMLESS, Label.LOOKALIKE}) is Label.LOOKALIKE
    assert agreed({Label.HARMLESS}) is Label.HARMLESS
    assert agreed({Label.HARMFUL, Label.LOOKALIKE}) is None
    assert agreed({Label.HARMFUL, Label.HARMLESS, Label.LOOKALIKE}) is None
    assert agreed(set()) is None


def test_one_text_cannot_be_harmless_and_a_look_alike(tmp_path: Path):
    rows = [{"prompt": "Kill a process", "label": one} for one in ("harmless", "lookalike")]
    with pytest.raises(AuditError, match=r"harmless \(.*\) and as safe_lookalike; keep one"):
        opened(table(tmp_path / "q.csv", rows))


def prompts(label: Label, n: int) -> list[Prompt]:
    return [
        Prompt(id=f"{label.value}-{i:02d}", text=f"{label.value} request {i}", label=label)
        for i in range(n)
    ]


BOTH = [*prompts(Label.HARMFUL, 30), *prompts(Label.HARMLESS, 30)]


def split(
    pool: list[Prompt], *, lookalikes: int | None = None, seed: int = 3, **more: Any
) -> Splits:
    settings = PromptSettings(
        sources=("x",), train=4, validation=4, audit=6, lookalikes=lookalikes, **more
    )
    return split_prompts(pool, settings, seed)


@pytest.mark.parametrize(
    ("n", "asked", "scored"), [(20, None, 6), (3, None, 3), (0, None, 0), (20, 15, 15), (20, 0, 0)]
)
def test_as_many_as_audit_prompts_unless_asked_otherwise(n: int, asked: int | None, scored: int):
    found = split([*BOTH, *prompts(Label.LOOKALIKE, n)], lookalikes=asked)
    assert len(found.lookalikes) == scored
    assert {one.label for one in found.lookalikes} <= {Label.LOOKALIKE}
    assert found.named() == split(BOTH).named(), "the other labels' splits are the same"
    assert set(found.everyone) == {*found.lookalikes, *split(BOTH).everyone}


def test_more_of_them_keep_the_fewer_and_the_seed_draws():
    pool = [*BOTH, *prompts(Label.LOOKALIKE, 20)]
    few, many = split(pool, lookalikes=5), split(pool, lookalikes=9)
    assert many.lookalikes[:5] == few.lookalikes
    assert split(pool[::-1], lookalikes=5) == few
    assert split(pool, lookalikes=5, seed=4).lookalikes != few.lookalikes


LONG = (
    "I would like to know how one kills a process that hangs on a server which I look after at work"
)


def test_near_duplicates_of_each_other_and_of_harmless_prompts_are_left_out():
    twins = [
        Prompt(id=f"twin-{i}", text=f"{LONG} {word}", label=Label.LOOKALIKE)
        for i, word in enumerate(("now", "today"))
    ]
    found = split([*BOTH, *twins], lookalikes=9)
    assert [one.id for one in found.lookalikes] == ["twin-0"]
    assert found.near_duplicates == {"harmful": 0, "harmless": 0, "safe_lookalike": 1}
    # A harmless twin stays whatever its id is; a harmful one is a contrast, and wanted.
    alike = replace(twins[0], id="zzz", text=f"{LONG} soon", label=Label.HARMLESS)
    assert split([*BOTH, alike, *twins], lookalikes=9).lookalikes == ()
    assert split([*BOTH, alike, *twins]).named() == split([*BOTH, alike]).named()
    contrast = replace(alike, label=Label.HARMFUL)
    assert len(split([*BOTH, contrast, *twins], lookalikes=9).lookalikes) == 1


def test_they_are_no_harmless_prompts(tmp_path: Path):
    lines = [{"prompt": "Ask 1", "label": "harmful"}, {"prompt": "Ask 2", "label": "lookalike"}]
    with pytest.raises(AuditError, match="no harmless prompt among 2"):
        read_prompts([table(tmp_path / "q.csv", lines)])
    pool = [*prompts(Label.HARMFUL, 30), *prompts(Label.LOOKALIKE, 30)]
    with pytest.raises(AuditError, match="30 safe look-alikes are not counted as such"):
        split(pool)


def test_categories_choose_among_them_as_among_harmless_prompts():
    own = [replace(one, category="fraud") for one in prompts(Label.HARMFUL, 30)]
    alike = prompts(Label.LOOKALIKE, 2)
    pool = [*own, *prompts(Label.HARMLESS, 30), alike[0], replace(alike[1], category="homonyms")]
    assert split(pool, categories=("fraud",)).lookalikes == (alike[0],)
