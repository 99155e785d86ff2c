"""Marks shared by several figures of the report."""

from collections.abc import Sequence

from sae_audit.findings import Estimate
from sae_audit.pages.charts import (
    AMBER,
    HARMFUL,
    HARMLESS,
    MUTED,
    OWN,
    SET_COLOURS,
    SET_LABELS,
    Axis,
    Chart,
    span,
)
from sae_audit.pages.wording import interval, percent

LABEL_COLOURS = {"harmful": HARMFUL, "harmless": HARMLESS, "safe_lookalike": AMBER}
LABEL_SYMBOLS = {"harmful": "circle", "harmless": "diamond", "safe_lookalike": "square"}
_TURN = (5**0.5 - 1) / 2
"""Golden ratio: its multiples are spread evenly however many there are."""


def whole_layers(title: str = "layer") -> Axis:
    return Axis(title, whole=True)


def spread(row: float, n: int) -> list[float]:
    """Places of n marks on a row, apart from each other, the same each time."""
    return [row + 0.5 * ((i * _TURN) % 1.0 - 0.5) for i in range(n)]


def set_name(name: str) -> str:
    return SET_LABELS.get(name, name)


def set_points(rows: Sequence[tuple[str, Estimate]], *, x: str, as_share: bool) -> Chart:
    """One bar with interval per named set, the audited set on top."""
    names = [f"{set_name(name)} (n={estimate.n})" for name, estimate in rows]
    estimates = [estimate for _, estimate in rows]
    chart = Chart(x=Axis(x, shares=as_share), y=Axis(names=names), row=28)
    chart.bars(
        names,
        [one.value for one in estimates],
        colours=[SET_COLOURS.get(name, MUTED) for name, _ in rows],
        said=[
            f"{name}: {interval(one, percent if as_share else '{:z.3f}'.format)}"
            for name, one in zip(names, estimates, strict=True)
        ],
        spans=[span(one) for one in estimates],
        across=True,
    )
    return chart


def histogram(counts: dict[int, int], *, x: str, y: str) -> Chart:
    """Number of cases of each whole number, with the count above its bar."""
    chart = Chart(x=Axis(x, whole=True), y=Axis(y, whole=True, from_zero=True), height=180)
    chart.bars(
        list(counts),
        [float(n) for n in counts.values()],
        colours=OWN,
        said=[f"{number}: {n}" for number, n in counts.items()],
        written=[str(n) for n in counts.values()],
    )
    return chart


def strip(rows: Sequence[tuple[str, float, str]], *, x: str, colours: dict[str, str]) -> Chart:
    """Every case as a point in its named row, with the row's box; rows are (name, value, id)."""
    names = list(dict.fromkeys(name for name, _, _ in rows))
    chart = Chart(x=Axis(x), y=Axis(names=names), row=44)
    for name in names:
        chosen = [row for row in rows if row[0] == name]
        strip_row(
            chart,
            name,
            [value for _, value, _ in chosen],
            said=[f"{case}: {value:z.3f}" for _, value, case in chosen],
            colour=colours.get(name, MUTED),
        )
    return chart


def strip_row(
    chart: Chart,
    name: str,
    values: Sequence[float],
    *,
    said: Sequence[str],
    colour: str,
    symbol: str = "circle",
) -> None:
    """Add every value as a point of the named row, and the row's box."""
    chart.box(values, name)
    chart.points(
        values,
        spread(chart.y.at(name), len(values)),
        colour=colour,
        said=said,
        symbol=symbol,
        size=5 if symbol == "diamond" else 6,
        opacity=0.7,
    )
