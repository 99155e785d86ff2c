"""What a section of the page is: all that the page asks of it, in one object."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import plotly.graph_objects as go

from sae_audit.record.run import Run

Figures = dict[str, go.Figure]


class Part(IntEnum):
    """Parts of the page's head, in the order in which they are read."""

    REFUSAL = 0
    """Whether there is refusal, and what a single prompt's refusal rests on."""
    EXTENT = 1
    """What lies beyond the candidates, beyond one prompt and beyond single features."""
    SIDE_EFFECTS = 2
    SAES = 3


@dataclass(frozen=True, kw_only=True)
class SummaryRow:
    """One question an auditor asks."""

    question: str
    answer: str
    control: str
    """What the answer is to be held against."""
    part: Part = Part.REFUSAL


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
    """In the navigation."""
    shown: Callable[[Run], bool] = always
    """The functions below are asked only if it is."""
    rows: Callable[[Run], Sequence[SummaryRow]] = no_rows
    """Its rows of the page's head."""
    values: Callable[[Run], Mapping[str, Any]] = no_values
    """What its template names, as `<id>.<name>`."""
    figures: Callable[[Run], Figures] = no_figures
    """By the names that its template gives them, which no other section uses."""
    limits: Callable[[Run], Sequence[str]] = no_limits
    """What this part of the report does not show."""

    @property
    def template(self) -> str:
        return f"findings/{self.id}/section.html.j2"
