"""The result in a terminal: at most 14 lines of 80 columns."""

import textwrap
from collections.abc import Sequence

from sae_audit.comparison.decided import Outcome
from sae_audit.comparison.first_screen.reasons import names_of
from sae_audit.comparison.first_screen.screen import first_screen
from sae_audit.comparison.first_screen.types import CheckRow, FirstScreen
from sae_audit.comparison.types import Comparison

WIDTH, MOST_LINES = 80, 14
_SHOUTED = {
    Outcome.FAILS: "DO NOT SHIP",
    Outcome.CANNOT_TELL: "CANNOT TELL",
    Outcome.WITHIN: "WITHIN THE LIMITS",
}
_WRAPPED = 2
"""Lines that topics and features may take each."""


def terminal_lines(comparison: Comparison, page: str) -> list[str]:
    """The verdict, what it rests on, and where the page is."""
    first, (parent, variant) = first_screen(comparison), names_of(comparison)
    outcome = comparison.decision.outcome
    head = _apart(
        f"{variant} against {parent}: {_SHOUTED[outcome]}", f"{first.mark.sign} {outcome.value}"
    )
    foot = _apart(f"Page: {page}", f"exit {comparison.decision.exit_code}")
    told = [*_topics(first), *_features(first)]
    rows = _table(first.rows)
    spare = MOST_LINES - len(rows) - len(told) - 2
    if spare < 0:
        # Topics before features: which harm got through comes first.
        told, spare = told[: len(told) + spare], 0
    between = [""] if spare else []
    after = [""] if spare > 1 and told else []
    return [head, *between, *rows, *after, *told, foot]


def several_lines(found: Sequence[Comparison], page: str, code: int) -> list[str]:
    """A line for each variant, worst first."""
    order = list(Outcome)
    told = sorted(found, key=lambda one: order.index(one.decision.outcome))
    rows, over_named = [], set[str]()
    for comparison in told:
        first = first_screen(comparison)
        refusals, over = first.rows[:2]
        over_named.add(over.short.lower())
        rows.append(
            (
                names_of(comparison)[1],
                f"{first.mark.sign} {_SHOUTED[comparison.decision.outcome]}",
                values_of(refusals),
                values_of(over),
                ", ".join(one.name for one in first.topics if one.is_whole) or "none",
            )
        )
    named = " or ".join(sorted(over_named))
    heads = ("variant", "verdict", "harmful refused", named, "topics lost")
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    lines = [
        "  ".join(f"{row[i]:<{widths[i]}}" for i in range(len(heads))).rstrip()
        for row in (heads, *rows)
    ]
    return [
        f"{len(found)} variants of {names_of(found[0])[0]}",
        "",
        *lines,
        "",
        _apart(f"Page: {page}", f"exit {code}"),
    ]


def _apart(left: str, right: str) -> str:
    return f"{left}  {right:>{max(0, WIDTH - len(left) - 2)}}"


def _table(rows: Sequence[CheckRow]) -> list[str]:
    cells = [
        (row.short, values_of(row), row.brief or row.change, f"{row.mark.sign} {row.mark.word}")
        for row in rows
    ]
    widths = [max(len(cell[i]) for cell in cells) for i in range(3)]
    return [
        "  " + "  ".join(f"{cell[i]:<{widths[i]}}" for i in range(3)) + f"  {cell[3]}"
        for cell in cells
    ]


def values_of(row: CheckRow) -> str:
    """`40 -> 24 of 40`."""
    if not row.before or not row.after:
        return row.before or row.after
    head, _, n = row.before.partition(" of ")
    if n and row.after.endswith(f" of {n}"):
        return f"{head} -> {row.after}"
    return f"{row.before} -> {row.after}"


def _topics(first: FirstScreen) -> list[str]:
    lost = [topic for topic in first.topics if topic.lost]
    if not lost:
        return []
    listed = ", ".join(f"{one.name} {one.boxes.count('lost')} of {len(one.boxes)}" for one in lost)
    return _wrapped(f"Lost: {listed}")


def _features(first: FirstScreen) -> list[str]:
    """As many whole sentences as there is room for; the first in any case."""
    room = [n for n in range(1, len(first.features) + 1) if _fits(first.features[:n])]
    return _wrapped(" ".join(first.features[: max(room, default=1)])) if first.features else []


def _fits(sentences: Sequence[str]) -> bool:
    return len(textwrap.wrap(" ".join(sentences), WIDTH - 4)) <= _WRAPPED


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH - 2,
        initial_indent="  ",
        subsequent_indent="  ",
        max_lines=_WRAPPED,
        placeholder=" ...",
    )
