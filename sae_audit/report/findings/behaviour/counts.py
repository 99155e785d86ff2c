"""Refusal and over-refusal, counted from the clean scores."""

from collections.abc import Sequence
from dataclasses import dataclass

from sae_audit.findings import Estimate, PromptScore
from sae_audit.margins import refuses
from sae_audit.statistics import share


@dataclass(frozen=True, kw_only=True)
class RefusalRow:
    """Refusals by the unablated model, of one label or one of its categories."""

    label: str
    category: str
    """Empty for all prompts of the label."""
    n_refused: int
    share: Estimate

    @property
    def axis(self) -> str:
        return f"{self.label}: {self.category or 'all'} (n={self.share.n})"


def refusal_rows(scores: Sequence[PromptScore]) -> list[RefusalRow]:
    """Rows of both labels whole, then by category if there are several."""
    audited = [score for score in scores if score.split == "audit"]
    rows: list[RefusalRow] = []
    for label in ("harmful", "harmless"):
        own = [score for score in audited if score.label == label]
        categories = sorted({score.category for score in own})
        rows += [_row(label, "", own)] if own else []
        if categories != [""]:
            rows += [
                _row(label, category or "(none)", [s for s in own if s.category == category])
                for category in categories
            ]
    return rows


def _row(label: str, category: str, chosen: Sequence[PromptScore]) -> RefusalRow:
    n_refused = sum(refuses(score.score) for score in chosen)
    return RefusalRow(
        label=label, category=category, n_refused=n_refused, share=share(n_refused, len(chosen))
    )
