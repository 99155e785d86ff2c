"""The bench's tables: no number without its interval and its models."""

import itertools
import re
from dataclasses import replace

import pytest

from sae_audit.bench.cases import Case
from sae_audit.bench.page import cell, render
from sae_audit.bench.results import (
    AlarmRow,
    BenchResult,
    ClaimRow,
    DialRow,
    DialTrend,
    PowerRow,
    Row,
    Summary,
    kind_of_sae,
    summarised,
)
from sae_audit.findings import Controlled
from sae_audit.organisms.planted.families import FAMILIES
from sae_audit.organisms.trained.measured import Rise
from sae_audit.pages.wording import NO_VALUE, interval, percent
from sae_audit.statistics import share
from tests.synthetic.findings import estimate
from tests.visible import rows_of, seen


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
    [("exact", "0.67 [0.21, 0.94] n=3"), ("depth error", "0.50 (one model)")],
)
def test_a_cell_says_of_how_many_models_it_is(measure: str, said: str):
    """One model has no interval: resampling it would give one of no width."""
    assert cell(summary(), measure) == said


def test_models_that_are_all_alike_say_so():
    (found,) = summarised((row(0, 1.0, None), row(1, 1.0, None)), kind_of_sae)
    assert cell(found, "exact") == "1.00 [0.34, 1.00] n=2", "a share is counted"
    assert cell(found, "depth error") == "-", "no model has one"
    for n, said in ((2, "(of 2 models, too few for an interval)"), (5, "(all 5 alike)")):
        (found,) = summarised([row(i, 1.0, 0.5) for i in range(n)], kind_of_sae)
        assert cell(found, "depth error") == f"0.50 {said}"


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
    written = render(result)
    assert written.count("0.67 [0.21, 0.94] n=3") == 3, "table, figure and its numbers"
    page = seen(written)
    assert rows_of(page, "ours") == [["0.67 [0.21, 0.94] n=3", "0.50 (one model)", "10", "0.50"]]
    assert "leaves the prompt out" in page, "of the depth error"
    assert rows_of(page, "none there") == [["80", "0% [0%, 5%]"]]
    assert rows_of(page, "one there") == [["20", "100% [84%, 100%]"]]
    assert "never claims anything" in page


def test_numbers_in_the_figure_leave_room_for_each_other():
    rows = [
        replace(row(0, 0.87, None), case=replace(ROWS[0].case, family=name)) for name in FAMILIES
    ]
    result = BenchResult(
        version="1",
        command="sae-audit bench",
        n_prompts=4,
        rows=tuple(rows),
        summaries=(summary(),),
        families=summarised(rows, lambda case: case.family),
    )
    texts = re.findall(r'<text x="([\d.]+)" y="([\d.]+)"[^>]*>0\.87<', render(result))
    places = [(float(x), float(y)) for x, y in texts]
    assert len(places) == len(FAMILIES)
    for one, other in itertools.combinations(places, 2):
        assert abs(one[0] - other[0]) > 30 or abs(one[1] - other[1]) > 12, "letters are 14 high"


def test_the_dial_has_a_row_a_model_and_a_trend_a_seed():
    refused = Controlled.example()
    dial = DialRow(
        rounds=2,
        seed=5,
        measures={"directions": estimate(2.5), "waves": estimate(1.25)},
        n_beyond=3,
        refused=refused,
    )
    trends = (
        DialTrend(
            measure="waves", seed=5, rise=Rise(spearman=0.75, p_value=0.125, n=4, apart=True)
        ),
        DialTrend(
            measure="waves", seed=6, rise=Rise(spearman=None, p_value=None, n=1, apart=False)
        ),
    )
    result = BenchResult(
        version="1",
        command="sae-audit bench",
        n_prompts=4,
        rows=ROWS,
        summaries=(summary(),),
        families=(),
        dial=(dial, replace(dial, rounds=1, n_beyond=0)),
        dial_trends=trends,
    )
    page = seen(render(result))
    random = refused.random
    draws = f"({percent(random.lowest)} to {percent(random.highest)}, {random.n} draws)"
    directions, waves = (interval(one) for one in dial.measures.values())
    rest = [str(refused.own.n), interval(refused.own, percent), f"{percent(random.mean)} {draws}"]
    assert rows_of(page, "5") == [
        ["2", f"≥ {directions}", waves, *rest],
        ["1", directions, waves, *rest],
    ]
    assert rows_of(page, "waves") == [
        ["5", "4", "+0.75", "0.125", "yes"],
        ["6", "1", NO_VALUE, NO_VALUE, "no"],
    ]


def test_hostile_models_and_their_true_twins_are_told_apart():
    hostile = (
        ClaimRow(claim="pairs", models="none", is_true=False, stands=share(2, 73), seconds=1.25),
        ClaimRow(claim="pairs", models="some", is_true=True, stands=share(9, 10), seconds=2.5),
    )
    power = (PowerRow(claim="lost refusal", mechanism="lost", n_prompts=40, stands=share(3, 20)),)
    result = BenchResult(
        version="1",
        command="sae-audit bench",
        n_prompts=4,
        rows=ROWS,
        summaries=(summary(),),
        families=(),
        hostile=hostile,
        power=power,
    )
    page = seen(render(result))
    assert rows_of(page, "pairs") == [
        ["none", "false", "73", percent_of(hostile[0]), "1.2"],
        ["some", "true", "10", percent_of(hostile[1]), "2.5"],
    ]
    assert rows_of(page, "lost refusal") == [["lost", "40", "20", "15% [5%, 36%]"]]


def percent_of(row: ClaimRow) -> str:
    return interval(row.stands, percent)
