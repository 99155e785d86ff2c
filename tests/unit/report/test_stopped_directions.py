"""Candidates that were not asked to the end are shown as that, never with a number of their own."""

from dataclasses import replace
from itertools import product

import pandas as pd
import pytest

from sae_audit.direction.selectors.bypass import BYPASS
from sae_audit.findings import Direction, StoppedDirection, StopReason
from sae_audit.pages.charts import Cell
from sae_audit.record.run import Run
from sae_audit.record.tables.direction import directions
from sae_audit.report.findings.direction.figures import measured
from sae_audit.report.findings.direction.rows import stopped_rows


@pytest.fixture
def found(run: Run) -> Direction:
    whole = run.direction
    last = whole.evaluations[-1]
    stopped = StoppedDirection(
        position=last.position,
        layer=last.layer,
        bypass=-3.25,
        n_bypass=1,
        induce=None,
        n_induce=0,
        kl=0.5,
        n_kl=2,
        reason=StopReason.KL,
    )
    return replace(whole, evaluations=whole.evaluations[:-1], stopped=(stopped,))


def test_how_far_it_was_asked_and_why_no_further(found: Direction):
    (row,) = stopped_rows(found)
    n_harmful, n_harmless = found.n_validation
    assert row.bypass == f"-3.25 (1 of {n_harmful})"
    assert (row.induce, row.kl) == ("not asked", f"0.5000 (2 of {n_harmless})")
    assert row.reason == "with too large a KL"
    assert found.n_tried == len(found.evaluations) + 1


def test_the_figure_leaves_its_place_without_a_value(found: Direction):
    chart = measured(found, BYPASS)
    cells = {(mark.column, mark.row) for mark in chart.marks if isinstance(mark, Cell)}
    places = set(product(range(len(chart.x.names)), range(len(chart.y.names))))
    # Rows are layers, the highest above.
    assert places - cells == {(len(chart.x.names) - 1, 0)}


def test_the_table_has_its_prompts_and_no_number(found: Direction):
    frame: pd.DataFrame = directions(found)
    assert len(frame) == found.n_tried
    assert frame.selected.sum() == 1
    (row,) = frame[frame.stopped != ""].itertuples()
    assert (row.stopped, row.n_bypass, row.n_induce, row.n_kl) == ("kl", 1, 0, 2)
    assert frame[["bypass", "induce", "kl"]].isna().all(axis=1).sum() == 1
