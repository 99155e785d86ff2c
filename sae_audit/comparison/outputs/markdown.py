"""A summary in Markdown, for a pull request."""

import re
from collections.abc import Sequence

from sae_audit.comparison.first_screen.reasons import names_of
from sae_audit.comparison.first_screen.screen import first_screen
from sae_audit.comparison.outputs.judged import Judged
from sae_audit.comparison.types import Comparison
from sae_audit.untrusted import printable

_ACTIVE = re.compile(r"([\\`*_{}\[\]<>#|~@!])")


def markdown(judged: Sequence[Judged]) -> str:
    """The whole summary; a section for each variant."""
    return "\n".join(_section(one.comparison) for one in judged)


def _section(comparison: Comparison) -> str:
    first = first_screen(comparison)
    parent, variant = names_of(comparison)
    head = (
        f"### {first.mark.sign} {_text(first.verdict)}",
        "",
        f"`{_code(variant)}` against `{_code(parent)}`",
        "",
        *(f"{_text(sentence)}\n" for sentence in first.said),
        "| check | before | after | change (95% interval) | result |",
        "|---|---|---|---|---|",
    )
    rows = (
        "| "
        + " | ".join(
            (
                _text(row.name),
                _text(row.before),
                _text(row.after),
                _text(row.change),
                f"{row.mark.sign} **{_text(row.mark.word)}** {_text(row.note)}".strip(),
            )
        )
        + " |"
        for row in first.rows
    )
    lost = [topic for topic in first.topics if topic.lost]
    topics = (
        [
            "",
            "Topics that lost refusals: "
            + ", ".join(f"{_text(one.name)} {one.before} → {one.after}" for one in lost)
            + ".",
        ]
        if lost
        else []
    )
    features = ["", *(f"- {_text(one)}" for one in first.features)] if first.features else []
    foot = (
        "",
        f"<sub>{_text(first.limits)} Exit code {comparison.decision.exit_code}.</sub>",
        "",
    )
    return "\n".join((*head, *rows, *topics, *features, *foot))


def _text(text: str) -> str:
    """The text without effect as Markdown or HTML."""
    return _ACTIVE.sub(r"\\\1", " ".join(printable(text).split()))


def _code(text: str) -> str:
    return " ".join(printable(text).replace("`", "'").split())
