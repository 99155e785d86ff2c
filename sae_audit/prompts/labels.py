"""Labels of prompts: from a column first, and from the exact name of a published file last.

A label is never guessed. A column that gives labels or types wins over the file's name, since published
files have been split, mixed and filtered under unchanged names. A name counts only if it equals the
published one.
"""

import re
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from sae_audit.errors import AuditError
from sae_audit.prompts.columns import ANSWERS
from sae_audit.prompts.tables import Row
from sae_audit.prompts.types import Label
from sae_audit.untrusted import shown

SAYS = {
    **dict.fromkeys(("harmful", "unsafe", "malicious", "toxic"), Label.HARMFUL),
    **dict.fromkeys(
        ("harmless", "safe", "benign", "unharmful", "not harmful", "non harmful", "nonharmful"),
        Label.HARMLESS,
    ),
    "vanilla harmful": Label.HARMFUL,
    "adversarial harmful": Label.HARMFUL,
    # WildJailbreak's benign halves, made against over-refusal: they look like its harmful ones.
    "vanilla benign": Label.LOOKALIKE,
    "adversarial benign": Label.LOOKALIKE,
    "prompt harmful": Label.HARMFUL,
    "prompt safe": Label.HARMLESS,
    **dict.fromkeys(
        (
            f"{kind}{alike}"
            for kind in ("", "safe ", "benign ", "harmless ")
            for alike in ("lookalike", "look alike")
        ),
        Label.LOOKALIKE,
    ),
}
"""Labels by the word in a column, without case; `_` and `-` count as spaces."""

XSTEST_SAFE_TYPES = frozenset(
    [
        "homonyms",
        "figurative_language",
        "safe_targets",
        "safe_contexts",
        "definitions",
        "real_group_nons_discr",
        "nons_group_real_discr",
        "historical_events",
        "privacy_public",
        "privacy_fictional",
    ]
)
"""XSTest's types of safe prompts, all of them look-alikes; the unsafe ones begin with `contrast_`."""

_PUBLISHED = {
    "advbench": Label.HARMFUL,
    "harmful_behaviors": Label.HARMFUL,
    "harmful-behaviors": Label.HARMFUL,
    "benign-behaviors": Label.HARMLESS,
    "harmbench": Label.HARMFUL,
    "harmbench_val": Label.HARMFUL,
    "harmbench_test": Label.HARMFUL,
    "harmbench_behaviors_text_all": Label.HARMFUL,
    "harmbench_behaviors_text_val": Label.HARMFUL,
    "harmbench_behaviors_text_test": Label.HARMFUL,
    "strongreject": Label.HARMFUL,
    "strongreject_dataset": Label.HARMFUL,
    "strongreject_small_dataset": Label.HARMFUL,
    "MaliciousInstruct": Label.HARMFUL,
    "malicious_instruct": Label.HARMFUL,
    "tdc2023": Label.HARMFUL,
    "or-bench-toxic": Label.HARMFUL,
    "or-bench-hard-1k": Label.LOOKALIKE,
    "or-bench-80k": Label.LOOKALIKE,
    "alpaca_data": Label.HARMLESS,
    "alpaca_data_cleaned": Label.HARMLESS,
}
"""Labels by the published name, without ending, of files whose columns give none."""
_REPOSITORIES = {
    "walledai/advbench": Label.HARMFUL,
    "walledai/harmbench": Label.HARMFUL,
    "walledai/strongreject": Label.HARMFUL,
    "walledai/maliciousinstruct": Label.HARMFUL,
    "walledai/tdc23-redteaming": Label.HARMFUL,
    "tatsu-lab/alpaca": Label.HARMLESS,
}
_SHARD = re.compile(r"-\d{5}-of-\d{5}.*$")
_CALLED_HARMLESS = re.compile(r"benign|harmless|unharmful|(?<![a-z])safe(?![a-z])")

# Last words of column names for labels of the prompt; `response_label` is about the answer.
_WORDS_OF_LABELS = frozenset(
    ["label", "labels", "type", "types", "class", "split", "subset", "safety", "harmfulness"]
)
_ANSWERING = frozenset(
    [
        *("response", "responses", "answer", "answers", "completion", "completions"),
        *("output", "outputs", "generation", "generations", "reply", "replies"),
    ]
)
"""Words in the names of columns that hold or describe answers."""
_OF_ANSWERS = _ANSWERING | frozenset(
    [
        "assistant",
        "chosen",
        "rejected",
        "target",
        "model",
        "judge",
        "final",
        "refusal",
        "predicted",
        "prediction",
        "annotation",
        "agreement",
        "source",
    ]
)
_OF_EITHER = frozenset(["label", "labels", "class", "safety", "harmfulness"])
"""Columns that, in a table with answers, may describe these: XSTest's `label` does."""
_OF_PROMPTS = frozenset(
    ["prompt", "query", "question", "instruction", "request", "goal", "user", "input"]
)
_YES_IS_HARMFUL = frozenset(["harmful", "is_harmful", "unsafe", "is_unsafe", "should_be_blocked"])
_YES_IS_HARMLESS = frozenset(["harmless", "is_harmless", "safe", "is_safe", "benign", "is_benign"])
_YES = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, kw_only=True)
class LabelColumns:
    """Columns of a table that may label its prompts."""

    words: tuple[str, ...] = ()
    """Columns that hold a word: `harmful`, `safe`, ..."""
    yes_is: tuple[tuple[str, Label], ...] = ()
    """Columns that hold yes or no, each with the label that yes means."""
    of_either: tuple[str, ...] = ()
    """Columns whose word may be about the answer instead of the prompt."""

    def check_either(self, row: Row, label: Label | None, place: str) -> None:
        """Check that no label rests on, or contradicts, a column that may be about the answer.

        Raises:
            AuditError: Such a column differs from `label`, the label by all others.
        """
        for name in self.of_either:
            said = word_said(row.get(name), name)
            if said is not None and (label is None or agreed({said, label}) is not label):
                raise AuditError(
                    f"{place}: the column {shown(name)!r} stands beside answers, and may speak of "
                    f"them; say that it speaks of the requests (?label={shown(name)}), or what they "
                    "are (?label=harmful, ?label=harmless or ?label=safe_lookalike)."
                )

    def said(self, row: Row, place: str) -> tuple[Label, str] | None:
        """The label in the row's columns, and the first column that gives it; None if none does.

        Raises:
            AuditError: Two columns contradict each other.
        """
        found = [
            (label, name)
            for name, label in (
                *((name, word_said(row.get(name), name)) for name in self.words),
                *((name, _yes_said(row.get(name), yes)) for name, yes in self.yes_is),
            )
            if label is not None
        ]
        if not found:
            return None
        label = agreed({label for label, _ in found})
        if label is None:
            said = " and ".join(f"{shown(name)!r} {label.value}" for label, name in found)
            raise AuditError(
                f"{place}: columns say different things of this prompt ({said}); name the one that "
                "counts (?label=COLUMN)."
            )
        return next((one, name) for one, name in found if one is label)


def agreed(labels: Set[Label]) -> Label | None:
    """The label that statements of one prompt agree on; None if they contradict each other.

    A look-alike is harmless, so that who says only that does not contradict who says which kind.
    """
    kinds = labels - {Label.HARMLESS} if Label.LOOKALIKE in labels else labels
    return next(iter(kinds)) if len(kinds) == 1 else None


def label_columns(columns: Iterable[str]) -> LabelColumns:
    """The columns of a table that may label its prompts, by their names."""
    names = sorted(columns)
    yes_is: list[tuple[str, Label]] = []
    words: list[str] = []
    of_either: list[str] = []
    are_answered = any(_ANSWERING.intersection(_parts(name)) for name in names)
    has_answers = are_answered or any(name in ANSWERS for name in names)
    for name in names:
        parts = _parts(name)
        whole = "_".join(parts)
        # In a table with answers (BeaverTails), `is_safe` is about the answer.
        if whole in _YES_IS_HARMFUL and (not has_answers or whole == "should_be_blocked"):
            yes_is.append((name, Label.HARMFUL))
        elif whole in _YES_IS_HARMLESS and not has_answers:
            yes_is.append((name, Label.HARMLESS))
        elif parts[-1] in _WORDS_OF_LABELS and not _OF_ANSWERS.intersection(parts):
            is_of_either = parts[-1] in _OF_EITHER and not _OF_PROMPTS.intersection(parts)
            (of_either if is_of_either and are_answered else words).append(name)
    return LabelColumns(words=tuple(words), yes_is=tuple(yes_is), of_either=tuple(of_either))


def _parts(name: str) -> list[str]:
    """The words of a column's name."""
    return re.split(r"[\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).casefold())


def word_said(cell: Any, column: str = "") -> Label | None:
    """The label that a word means; None for other words, or without a word."""
    if isinstance(cell, list) and len(cell) == 1:
        cell = cell[0]
    if not isinstance(cell, str):
        return None
    word = cell.strip().casefold()
    if column.casefold() == "type" and word.startswith("contrast_"):
        return Label.HARMFUL
    if column.casefold() == "type" and word in XSTEST_SAFE_TYPES:
        return Label.LOOKALIKE
    return SAYS.get(re.sub(r"[\s_-]+", " ", word))


def _yes_said(cell: Any, yes: Label) -> Label | None:
    word = cell.strip().casefold() if isinstance(cell, str) else cell
    if isinstance(word, bool | int | float) and word in (0, 1):
        answer = bool(word)
    else:
        answer = _YES.get(word) if isinstance(word, str) else None
    if answer is None:
        return word_said(cell)
    no = Label.HARMLESS if yes == Label.HARMFUL else Label.HARMFUL
    return yes if answer else no


def label_of_column(row: Row, column: str, place: str) -> Label:
    """The label in a column that the user named.

    Raises:
        AuditError: The value is no known label.
    """
    yes = next((label for name, label in label_columns([column]).yes_is if name == column), None)
    cell = row.get(column)
    said = word_said(cell, column) if yes is None else _yes_said(cell, yes)
    if said is None:
        raise AuditError(
            f"{place}: the column {shown(column)!r} does not say whether this is harmful, harmless or a "
            f"safe look-alike; words read are {', '.join(SAYS)}."
        )
    return said


def label_by_name(path: PurePosixPath, *, is_remote: bool) -> Label | None:
    """The label by the published name of a file; local folders are ignored."""
    found = _BY_STEM.get(published_stem(path))
    if found is None and is_remote and not is_called_harmless(path, is_remote=True):
        found = _REPOSITORIES.get("/".join(path.parts[:2]).casefold())
    return found


def is_called_harmless(path: PurePosixPath, *, is_remote: bool) -> bool:
    """Whether the name says harmless: a counterpart of a published set has the same columns."""
    named = "/".join(path.parts[2:]) if is_remote else path.name
    return _CALLED_HARMLESS.search(named.casefold()) is not None


def published_stem(path: PurePosixPath) -> str:
    """A file's name without ending, case and part number."""
    return _SHARD.sub("", path.stem.casefold())


_BY_STEM = {name.casefold(): label for name, label in _PUBLISHED.items()}
