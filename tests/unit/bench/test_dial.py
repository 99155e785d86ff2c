"""The table of the dial: settings of each seed in a row, and what rises with them."""

from pathlib import Path

import pytest

from sae_audit.bench.dial import dial_rows, dial_trends
from sae_audit.bench.page import render
from sae_audit.bench.results import BenchResult, DialRow
from sae_audit.errors import AuditError
from sae_audit.findings import Controlled, Estimate, RandomRange
from sae_audit.statistics import share


def at(value: float) -> Estimate:
    return Estimate(value=value, low=value - 0.1, high=value + 0.1, n=40, method="by hand")


def row(rounds: int, seed: int, directions: float) -> DialRow:
    measures = {"directions": at(directions), "flipped": at(1.0)}
    return DialRow(
        rounds=rounds,
        seed=seed,
        measures=measures,
        n_beyond=3 if directions == 2.1 else 0,
        refused=Controlled(
            own=share(3 if directions == 2.1 else 0, 40),
            random=RandomRange(mean=0.96, lowest=0.91, highest=1.0, n=10),
        ),
    )


ROWS = (row(0, 0, 1.0), row(1, 0, 2.0), row(2, 0, 2.1), row(0, 1, 1.0), row(1, 1, 2.0))


def test_each_measure_is_held_against_the_rounds_of_each_seed():
    trends = {(one.measure, one.seed): one for one in dial_trends(ROWS)}
    assert set(trends) == {("directions", 0), ("directions", 1), ("flipped", 0), ("flipped", 1)}
    directions = trends["directions", 0].rise
    assert directions.spearman == pytest.approx(1.0)
    assert (directions.n, directions.p_value) == (3, pytest.approx(1 / 6))
    assert not directions.apart
    assert trends["directions", 1].rise.apart
    assert trends["flipped", 1].rise.spearman is None


def test_a_missing_setting_is_named_with_the_command_that_makes_it(tmp_path: Path):
    for name in ("dial_0", "dial_1", "dial_1_seed_1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "card.json").write_text("{}")
    with pytest.raises(AuditError, match=r"dial_2 .*make .* --seeds 2"):
        dial_rows(tmp_path, tmp_path / "out", lambda *_: None)


def test_the_page_has_a_row_a_model_and_a_trend_a_measure():
    result = BenchResult(
        version="1",
        command="sae-audit bench --seeds 1 --prompts 4",
        n_prompts=4,
        rows=(),
        summaries=(),
        families=(),
        dial=ROWS,
        dial_trends=dial_trends(ROWS),
    )
    page = render(result)
    assert page.count("2.000 [1.900, 2.100]") == 2
    assert "+1.00" in page
    assert "0.167" in page, "p of three models in order"
    assert page.count("≥ ") == 1
    assert "≥ 2.100 [2.000, 2.200]" in page, "prompts are still refused with all directions out"
    assert page.count("96% (91% to 100%, 10 draws)") == len(ROWS)
    assert "8% [3%, 20%]" in page
