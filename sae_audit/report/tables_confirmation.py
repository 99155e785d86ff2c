"""What the judge says of answers, beside the sign of their refusal scores."""

from dataclasses import dataclass

from sae_audit.findings import Confirmation, Estimate
from sae_audit.statistics import share

_LABELS = {
    "clean": "refused prompts, unablated",
    "ablated": "the same, own minimal set ablated",
    "random": "the same, as many random features ablated",
    "pooled": "refused prompts kept apart, pooled set ablated",
    "harmless": "harmless prompts, unablated",
}


@dataclass(frozen=True, kw_only=True)
class AnswerRow:
    label: str
    n: int
    by_score: Estimate
    """Share of answers that the score calls compliance."""
    by_judge: Estimate
    agreement: Estimate


def answer_rows(found: Confirmation) -> list[AnswerRow]:
    """One row a case, those without an answer left out."""
    rows: list[AnswerRow] = []
    for case, label in _LABELS.items():
        checks = [check for check in found.checks if check.case == case]
        if checks:
            n = len(checks)
            rows.append(
                AnswerRow(
                    label=label,
                    n=n,
                    by_score=share(sum(check.score < 0.0 for check in checks), n),
                    by_judge=share(sum(check.complied for check in checks), n),
                    agreement=share(sum(check.agrees for check in checks), n),
                )
            )
    return rows
