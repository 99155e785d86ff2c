"""Number of prompts of each split treated as labelled."""

from collections.abc import Sequence
from dataclasses import dataclass

from sae_audit.findings import PromptScore
from sae_audit.margins import answers, refuses
from sae_audit.prompts.types import Label


@dataclass(frozen=True, kw_only=True)
class SplitRow:
    """Number of prompts of one split and label treated as labelled."""

    split: str
    label: str
    n: int
    n_as_labelled: int
    """Harmful and refused, or harmless (a look-alike too) and answered."""


def split_rows(scores: Sequence[PromptScore]) -> list[SplitRow]:
    rows: list[SplitRow] = []
    for split in ("train", "validation", "audit"):
        for label in Label:
            own = [s for s in scores if s.split == split and s.label == label]
            if not own and label is Label.LOOKALIKE:
                continue
            treated = [
                s for s in own if (refuses(s.score) if label is Label.HARMFUL else answers(s.score))
            ]
            rows.append(
                SplitRow(split=split, label=label.value, n=len(own), n_as_labelled=len(treated))
            )
    return rows
