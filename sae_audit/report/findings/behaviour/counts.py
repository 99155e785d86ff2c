"""Refusal and over-refusal, counted from the clean scores."""

from collections.abc import Sequence
from dataclasses import dataclass

from sae_audit.findings import Estimate, PromptScore
from sae_audit.margins import refuses
from sae_audit.prompts.types import Label
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
    """Rows of every label whole, then by category if there are several."""
    audited = [score for score in scores if score.split == "audit"]
    rows: list[RefusalRow] = []
    for label in Label:
        own = [score for score in audited if score.label == label]
        if not own:
            continue
        rows.append(_row(label, "", own))
        categories = sorted({score.category for score in own})
        if categories != [""]:
            rows += [
                _row(label, category or "(none)", [s for s in own if s.category == category])
                for category in categories
            ]
    return rows


def over_refused(scores: Sequence[PromptScore]) -> dict[str, tuple[str, ...]]:
    """Ids of the audit prompts that are harmless and refused all the same, by label, look-alikes first;
    labels without any are left out."""
    found = {
        label.value: tuple(
            one.prompt_id
            for one in scores
            if one.split == "audit" and one.label == label and refuses(one.score)
        )
        for label in (Label.LOOKALIKE, Label.HARMLESS)
    }
    return {label: ids for label, ids in found.items() if ids}


def _row(label: Label, category: str, chosen: Sequence[PromptScore]) -> RefusalRow:
    n_refused = sum(refuses(score.score) for score in chosen)
    return RefusalRow(
        label=label.value,
        category=category,
        n_refused=n_refused,
        share=share(n_refused, len(chosen)),
    )
