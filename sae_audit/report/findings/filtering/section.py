"""Greedy filtering over prompts, and features added by co-activation (2509.09708)."""

from collections.abc import Mapping, Sequence
from typing import Any

from sae_audit.record.run import Run
from sae_audit.report.findings.filtering import figures
from sae_audit.report.findings.filtering.rows import (
    LABELS,
    SOLVERS,
    answer,
    better,
    control,
    shared,
    size_rows,
)
from sae_audit.report.section import Figures, Part, Section, SummaryRow


def _rows(run: Run) -> Sequence[SummaryRow]:
    found = run.coactivation_fm
    if found is None:
        return []
    return [
        SummaryRow(
            question="What does a factorization machine on co-activations add to the filtered set?",
            answer=answer(found),
            control=control(found),
            part=Part.EXTENT,
        )
    ]


def _values(run: Run) -> Mapping[str, Any]:
    found, level = run.coactivation_fm, run.config.evidence.level
    return {
        "sizes": size_rows(run.minimal_sets),
        "points": run.filter_curve.points if run.filter_curve else (),
        "shared": shared,
        "labels": LABELS,
        "solvers": SOLVERS,
        "is_better": found is not None and better(found, level=level),
    }


def _figures(run: Run) -> Figures:
    return {"filter_curve": figures.curve(run.filter_curve.points)} if run.filter_curve else {}


def _limits(run: Run) -> Sequence[str]:
    found = run.coactivation_fm
    if found is None or not found.added or better(found, level=run.config.evidence.level):
        return []
    return [
        "What the factorization machine adds to the filtered set flips no more held-out prompts than "
        f"what machines on permuted labels add (p = {found.p_value:.2g}): that features co-activate "
        "says nothing here of what holds refusal up."
    ]


def _shown(run: Run) -> bool:
    return run.filter_curve is not None or run.coactivation_fm is not None


SECTION = Section(
    id="filtering",
    title="Filtered sets",
    shown=_shown,
    rows=_rows,
    values=_values,
    figures=_figures,
    limits=_limits,
)
