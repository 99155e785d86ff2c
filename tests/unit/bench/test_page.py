"""The bench's tables: no number without its interval and its models."""

import pytest

from sae_audit.bench.cases import Case
from sae_audit.bench.page import cell, render
from sae_audit.bench.results import AlarmRow, BenchResult, Row, Summary, kind_of_sae, summarised
from sae_audit.statistics import share


def row(seed: int, recall: float, wave_f1: float | None) -> Row:
    return Row(
        stage="cascades",
        method="ours",
        case=Case(family="backups", size=2, seed=seed, architecture="llama"),
        measures={"exact": recall, "depth error": wave_f1},
        n_prompts=4,
        n_sets_scored=10.0,
        seconds=0.5,
    )


ROWS = (row(0, 1.0, None), row(1, 0.0, 0.5), row(2, 1.0, None))


def summary() -> Summary:
    (found,) = summarised(ROWS, kind_of_sae)
    return found


@pytest.mark.parametrize(
    ("measure", "said"),
    [("exact", "0.67 [0.00, 1.00] n=3"), ("depth error", "0.50 (one model)")],
)
def test_a_cell_says_of_how_many_models_it_is(measure: str, said: str):
    """One model has no interval: resampling it would give one of no width."""
    assert cell(summary(), measure) == said


def test_models_that_are_all_alike_say_so():
    (found,) = summarised((row(0, 1.0, None), row(1, 1.0, None)), kind_of_sae)
    assert cell(found, "exact") == "1.00 (all 2 alike)"
    assert cell(found, "depth error") == "-", "no model has one"


def test_the_page_says_what_each_number_is_of():
    result = BenchResult(
        version="1",
        command="sae-audit bench",
        n_prompts=4,
        rows=ROWS,
        summaries=(summary(),),
        families=summarised(ROWS, lambda case: case.family),
        false_alarms=(
            AlarmRow(models="none there", has_mechanism=False, claimed=share(0, 80)),
            AlarmRow(models="one there", has_mechanism=True, claimed=share(20, 20)),
        ),
    )
    page = render(result)
    assert page.count("0.67 [0.00, 1.00] n=3") == 2, "in the table, and in the figure pointed at"
    assert "leaves the prompt out" in page, "of the depth error"
    assert "0% [0%, 5%]" in page
    assert "100% [84%, 100%]" in page
    assert "never claims anything" in page
