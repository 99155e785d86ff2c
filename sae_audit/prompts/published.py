"""Readers of the supported published formats.

A label is never guessed: it comes from a column of labels, from columns or a file name that only one
published set has, or from the user. A contradicted label is refused.
"""

import re

from sae_audit.errors import AuditError
from sae_audit.prompts.conversations import chat, listed, message, seed
from sae_audit.prompts.formats import Format, Origin, Reader, Request, SetAside, cell
from sae_audit.prompts.instructions import back_or_forth_translated, with_input
from sae_audit.prompts.labels import label_of_column, word_said
from sae_audit.prompts.tables import Row
from sae_audit.prompts.types import Label
from sae_audit.untrusted import shown

_FUNCTIONAL = ("standard", "contextual", "copyright")
_COCONOT_SAYS = {
    "abstain": Label.HARMFUL,
    "refusal": Label.HARMFUL,
    "original": Label.HARMFUL,
    "respond": Label.LOOKALIKE,
    "contrast-refusal": Label.LOOKALIKE,
    "contrast": Label.LOOKALIKE,
}
"""Labels by CoCoNot's words; its contrasts look like the others and are to be complied with, unlike
XSTest's."""

_LABELS = '"harmful", "harmless" or "safe_lookalike"'


def _own(row: Row, place: str, origin: Origin) -> Request:
    known = ("id", "text", "label", "category", "language")
    unknown = sorted(str(key) for key in row if key not in known)
    if unknown:
        raise AuditError(
            f"{place}: unknown field {shown(unknown[0])!r}; known are {sorted(known)}."
        )
    needed = known[:2] if origin.options.label else known[:3]
    missing = [name for name in needed if not str(row.get(name, "")).strip()]
    if missing:
        raise AuditError(f"{place}: {missing[0]!r} is missing or empty.")
    label = row.get("label")
    if label is not None and not (isinstance(label, str) and label in set(Label)):
        # One word is a typing error; more may be a prompt in the wrong column, which is not shown.
        is_word = not isinstance(label, str) or len(label.split()) == 1
        said = repr(shown(label, 40)) if is_word else "a text"
        raise AuditError(f"{place}: label is {said}; it is {_LABELS}.")
    return Request(
        text=row["text"],
        label=None if label is None else Label(label),
        column="text",
        category=cell(row, "category", place),
        language=cell(row, "language", place),
        own_id=row["id"] if isinstance(row["id"], str) else cell(row, "id", place),
    )


def _harmbench(row: Row, place: str, origin: Origin) -> Request | SetAside:
    """A prompt of HarmBench; in AdvBench's copy without functional categories, a context makes a row
    contextual."""
    if "FunctionalCategory" in origin.columns:
        kind = cell(row, "FunctionalCategory", place)
    else:
        kind = "contextual" if row.get("ContextString") else "standard"
    if not _is_wanted(kind, origin):
        is_word = len(kind) <= 40 and len(kind.split()) <= 3
        return SetAside((shown(kind) if is_word else "other") or "no functional category")
    return Request(
        text=_with_context(row, "ContextString", "Behavior", place),
        label=origin.label_of_harmful_format,
        column="Behavior",
        category=cell(row, "SemanticCategory", place) or cell(row, "Category", place),
        own_id=cell(row, "BehaviorID", place),
    )


def _is_wanted(functional: str, origin: Origin) -> bool:
    return functional == origin.functional or (
        origin.functional == "all" and functional in _FUNCTIONAL
    )


def _with_context(row: Row, context: str, column: str, place: str) -> object:
    """The text in HarmBench's form: the context, a line of dashes, the request."""
    if context not in row:
        return row.get(column)
    if not isinstance(row[context], str) or not isinstance(row.get(column), str):
        raise AuditError(f"{place}: {context} and {column} are to be texts.")
    return f"{row[context].strip()}\n\n---\n\n{row[column].strip()}"


def _jailbreakbench(row: Row, place: str, origin: Origin) -> Request:
    said = {"harmful": Label.HARMFUL, "benign": Label.HARMLESS}
    return Request(
        text=row.get("Goal"),
        label=said.get(re.sub("[-_]behaviors$", "", origin.stem)),
        column="Goal",
        category=cell(row, "Category", place),
        own_id=cell(row, "Index", place),
    )


def _strongreject(row: Row, place: str, origin: Origin) -> Request:
    return Request(
        text=row.get("forbidden_prompt"),
        label=origin.label_of_harmful_format,
        column="forbidden_prompt",
        category=cell(row, "category", place),
    )


def _harmful(column: str, category: str = "") -> Reader:
    """A reader of one column of requests, all of them harmful: AdvBench, SOSBench."""

    def read(row: Row, place: str, origin: Origin) -> Request:
        # Comparisons of judges have a goal and a prompt, and goals of both labels.
        is_set = "prompt" not in origin.columns
        return Request(
            text=row.get(column),
            label=origin.label_by_name or (origin.label_of_harmful_format if is_set else None),
            column=column,
            category=cell(row, category, place) if category else "",
        )

    return read


def _xstest(row: Row, place: str, origin: Origin) -> Request:  # noqa: ARG001
    kind = cell(row, "type", place)
    # The first version and completions have no labels; unknown types give none.
    has_label = "label" in row
    by_type = word_said(kind, "type")
    label = label_of_column(row, "label", place) if has_label else by_type
    if label is Label.HARMLESS and by_type is Label.LOOKALIKE:
        label = by_type  # `label` says safe, `type` which kind of safe.
    return Request(
        text=row.get("prompt"),
        label=label,
        column="prompt",
        category=kind,
        own_id=cell(row, "id", place),
    )


def _coconot(row: Row, place: str, origin: Origin) -> Request:
    said = {
        column: _COCONOT_SAYS.get(cell(row, column, place).casefold())
        for column in ("label_type", "eval_split", "split")
    }
    labels = {label for label in said.values() if label is not None}
    if len(labels) > 1:
        raise AuditError(
            f"{place}: label_type and split contradict each other; correct one of them."
        )
    return Request(
        text=row.get("prompt"),
        label=next(iter(labels), None) or _coconot_by_name(origin),
        column="prompt",
        category=cell(row, "category", place),
        own_id=cell(row, "id", place),
    )


def _coconot_by_name(origin: Origin) -> Label | None:
    """The label by published file (`coconot_contrast_eval.jsonl`) or folder (`coconot/contrast/...`)."""
    folders = [part.casefold() for part in origin.path.parts[:-1]]
    inside = folders[folders.index("coconot") + 1 :] if "coconot" in folders else []
    found = re.fullmatch(r"coconot(_contrast)?_(eval|train|test|sft)", origin.stem)
    if inside[:1] == ["contrast"] or (found and found[1]):
        return Label.LOOKALIKE
    return Label.HARMFUL if inside[:1] == ["original"] or found else None


def _sorry_bench(row: Row, place: str, origin: Origin) -> Request | SetAside:
    style, wanted = cell(row, "prompt_style", place) or "base", origin.options.style or "base"
    if wanted not in {style, "all"}:
        return SetAside("other style")
    turns = _as_list(row.get("turns"))
    if len(turns) != 1:
        raise AuditError(f"{place}: turns holds {len(turns)} texts, and one is read.")
    return Request(
        text=turns[0],
        # Vicuna's and MT-Bench's questions have these columns without styles.
        label=origin.label_of_harmful_format if "prompt_style" in origin.columns else None,
        column="turns",
        category=cell(row, "category", place),
        language="en" if style == "base" and "prompt_style" in origin.columns else "",
        own_id=cell(row, "question_id", place) + ("" if style == "base" else f"-{style}"),
    )


def _as_list(turns: object) -> list[object]:
    """The turns as a list; CSV has them as JSON, as a Python literal, or as bare text."""
    turns = listed(turns) if isinstance(turns, str) else turns
    return turns if isinstance(turns, list) else [turns]


def _prompts(row: Row, place: str, origin: Origin) -> Request | SetAside:
    """A column `prompt`: the hub's copies of AdvBench, HarmBench and StrongREJECT, and OR-Bench."""
    is_harmbench = "harmbench" in str(origin.path).casefold()
    folder = origin.path.parent.name.casefold()
    if is_harmbench and folder in _FUNCTIONAL and not _is_wanted(folder, origin):
        return SetAside(folder)
    if not is_harmbench:
        _refuse_context(row, "prompt", place)
    if (other := message(row, place)) is not None:
        return other
    return Request(
        text=_with_context(row, "context", "prompt", place),
        label=origin.label_by_name,
        column="prompt",
        category=cell(row, "category", place),
        language=cell(row, "language", place),
    )


def _wild_jailbreak(row: Row, place: str, origin: Origin) -> Request:  # noqa: ARG001
    """A request or its jailbreak; `data_type` gives which one is used, and the label."""
    kind = cell(row, "data_type", place)
    column = "vanilla" if kind.casefold().startswith("vanilla") else "adversarial"
    return Request(text=row.get(column), label=None, column=column, category=kind)


def _wild_guard(row: Row, place: str, origin: Origin) -> Request | SetAside:  # noqa: ARG001
    """A request of WildGuardMix as it stands; those wrapped in a jailbreak are left out."""
    if cell(row, "adversarial", place).casefold() in {"true", "1"}:
        return SetAside("adversarial")
    return Request(
        text=row.get("prompt"),
        label=None,
        column="prompt",
        category=cell(row, "subcategory", place),
    )


def _refuse_context(row: Row, column: str, place: str) -> None:
    if "context" in row:
        raise AuditError(
            f"{place}: beside the {column} stands a context; ?text={column} leaves it out, and a file "
            "with both in one column keeps it."
        )


def _plain(column: str) -> Reader:
    def read(row: Row, place: str, origin: Origin) -> Request | SetAside:
        _refuse_context(row, column, place)
        if (other := message(row, place)) is not None:
            return other
        return Request(
            text=row.get(column),
            label=origin.label_by_name,
            column=column,
            category=cell(row, "category", place),
            language=cell(row, "language", place) or cell(row, "lang", place),
        )

    return read


def _by_column(row: Row, place: str, origin: Origin) -> Request:  # noqa: ARG001
    return Request(text=row.get(origin.options.text), label=None, column=origin.options.text)


def _format(name: str, columns: str, read: Reader, *options: str, contexts: str = "") -> Format:
    return Format(
        name=name,
        columns=frozenset(columns.split()),
        read=read,
        options=frozenset(options),
        contexts=frozenset(contexts.split()),
    )


OWN = "the project's own format"
BY_COLUMN = _format("a table whose column of requests is named", "", _by_column)
FORMATS = (
    _format(OWN, "id text", _own),
    _format(OWN, "text label", _own),
    _format(
        "HarmBench",
        "Behavior FunctionalCategory",
        _harmbench,
        "functional",
        contexts="ContextString",
    ),
    _format("HarmBench", "Behavior BehaviorID", _harmbench, "functional", contexts="ContextString"),
    _format("JailbreakBench", "Goal Behavior", _jailbreakbench),
    _format("JailbreakBench", "Goal Category", _jailbreakbench),
    _format("JailbreakBench", "Goal Target", _jailbreakbench),
    _format("StrongREJECT", "forbidden_prompt category", _strongreject),
    _format("AdvBench", "goal target", _harmful("goal")),
    _format("AdvBench", "goal response", _harmful("goal")),
    _format("AdvBench", "bad_q target", _harmful("bad_q")),
    _format("SOSBench", "goal subject term", _harmful("goal", "subject")),
    _format("XSTest", "prompt type focus", _xstest),
    _format("XSTest", "prompt type label", _xstest),
    _format("XSTest", "prompt type completion", _xstest),
    _format("CoCoNot", "prompt category subcategory", _coconot),
    _format("SORRY-Bench", "question_id turns", _sorry_bench, "style"),
    _format("Alpaca", "instruction input", with_input("input"), "with_input", contexts="input"),
    _format(
        "Dolly", "instruction context", with_input("context"), "with_input", contexts="context"
    ),
    _format("PolyRefuse", "instruction", back_or_forth_translated),
    _format("WildJailbreak", "adversarial data_type", _wild_jailbreak),
    _format("WildGuardMix", "prompt adversarial prompt_harm_label", _wild_guard),
    _format("PyRIT's seed prompts", "value data_type", seed),
    _format("a table of prompts", "prompt", _prompts, "functional", contexts="context"),
    _format("conversations", "messages", chat("messages")),
    _format("conversations", "conversations", chat("conversations")),
    _format("conversations", "conversation", chat("conversation")),
    _format("plain text", "text", _plain("text"), contexts="context"),
    _format("a table of goals", "goal", _plain("goal"), contexts="context"),
    _format("a table of goals", "Goal", _jailbreakbench),
)
