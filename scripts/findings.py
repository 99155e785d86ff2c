"""Write `docs/findings.md` from the sample record: questions, what they mean, answers, controls.

uv run python -m scripts.findings
"""

from pathlib import Path

from sae_audit.record.run import Run, load_run
from sae_audit.report.page import summary

_ROOT = Path(__file__).parents[1]
PAGE = _ROOT / "docs" / "findings.md"
SAMPLE = _ROOT / "reports" / "sample-organism"

_HEAD = """# All findings of the sample audit

Made from `reports/sample-organism` by `uv run python -m scripts.findings`: every question of an audit,
what it means, the answer for the small model that comes along, and what the answer is compared with. The
same rows stand at the foot of every report, where they can be searched and each has an address, and
`sae-audit show RUN --table` prints them.

Ranges in brackets are 95% intervals: where the true value lies, 95 times in 100. "Score" is the refusal
score in nats, above 0 where the model refuses. A "set" is features that are switched off together; it is
minimal if the refusal comes back when any one of them is left on. Other words:
[glossary](glossary.md). What is claimed, and on what evidence: [validation](validation.md).
"""


def findings(run: Run) -> str:
    """The page: a heading for each question."""
    rows = [
        f"## {row.question}\n\n*{row.meaning}*\n\n{_written(row.answer)}\n\n"
        f"**Compared with:** {_written(row.control)}\n"
        for row in summary(run)
    ]
    return "\n".join([_HEAD, *rows])


def _written(text: str) -> str:
    """Text as Markdown that shows it as it is."""
    for sign in "\\*_<`":
        text = text.replace(sign, f"\\{sign}")
    return text


if __name__ == "__main__":
    PAGE.write_text(findings(load_run(SAMPLE)), encoding="utf-8")
