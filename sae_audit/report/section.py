"""A section of the page: all that the page asks of it, in one object."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from sae_audit.pages.charts import Chart
from sae_audit.record.run import Run
from sae_audit.report.meanings import MEANINGS

Figures = dict[str, Chart]


class Part(IntEnum):
    """Parts of the page's summary, in reading order."""

    FIRST = -1
    """What must be known before anything else."""
    REFUSAL = 0
    """Whether there is refusal, and the features behind a single prompt's refusal."""
    EXTENT = 1
    """Results beyond the candidates, beyond one prompt and beyond single features."""
    SIDE_EFFECTS = 2
    SAES = 3


@dataclass(frozen=True, kw_only=True)
class SummaryRow:
    """One question of an auditor."""

    question: str
    answer: str
    control: str
    """The control of the answer."""
    part: Part = Part.REFUSAL

    @property
    def meaning(self) -> str:
        """What the question is about, for a reader who is new to it."""
        return MEANINGS[self.question]

    @property
    def address(self) -> str:
        """Id of its row on the page."""
        words = re.findall(r"[a-z0-9]+", self.question.lower())
        return f"finding-{'-'.join(words)}"


def always(_run: Run) -> bool:
    return True


def unless_stopped_early(run: Run) -> bool:
    return not run.stopped_early


def no_rows(_run: Run) -> Sequence[SummaryRow]:
    return ()


def no_values(_run: Run) -> Mapping[str, Any]:
    return {}


def no_figures(_run: Run) -> Figures:
    return {}


def no_limits(_run: Run) -> Sequence[str]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of the page; its template is `findings/<id>/section.html.j2`."""

    id: str
    title: str
    """Title in the navigation."""
    shown: Callable[[Run], bool] = always
    """Whether the section is shown; the functions below are called only if it is."""
    rows: Callable[[Run], Sequence[SummaryRow]] = no_rows
    """Its summary rows."""
    values: Callable[[Run], Mapping[str, Any]] = no_values
    """Values of its template, as `<id>.<name>`."""
    figures: Callable[[Run], Figures] = no_figures
    """Figures by the names in its template, unique over all sections."""
    limits: Callable[[Run], Sequence[str]] = no_limits
    """Limits of this part of the report."""

    @property
    def template(self) -> str:
        return f"findings/{self.id}/section.html.j2"
