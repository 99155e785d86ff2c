"""Figures and rows of the pooled set against its rivals."""

from collections.abc import Sequence
from dataclasses import dataclass

from sae_audit.findings import Rivals, RivalTest
from sae_audit.pages.charts import DASHED, DOTTED, MUTED, SET_COLOURS, SOLID, Axis, Chart
from sae_audit.pages.wording import NO_VALUE, interval, percent
from sae_audit.report.marks import set_name

_DASHES = {"pooled": SOLID, "random_matched": DOTTED, "random_norm": DOTTED}
_FLIPPED = Axis("share of held-out prompts flipped", shares=True)
_AT = {
    "size": "size",
    "side_effects": "side effects",
    "own_side_effects": "the pooled set's own side effects",
}
_SMALLEST_KL = 1e-5
"""Nats; the left end of a logarithmic axis, where smaller and negative values are drawn."""


@dataclass(frozen=True, kw_only=True)
class ComparedRow:
    """The pooled set against one set of one rival."""

    rival: str
    at_equal: str
    by: str
    theirs: str
    """The rival's set: its size, or the share of the direction."""
    own_share: str
    their_share: str
    n_better: int
    n_worse: int
    n: int
    p_value: str
    decides: bool
    """Whether the verdict rests on this row: by text where there is one, else by score."""


def compared_rows(found: Rivals) -> list[ComparedRow]:
    return [_row(found, test) for test in found.tests]


def _row(found: Rivals, test: RivalTest) -> ComparedRow:
    features = f"{test.size} feature{'' if test.size == 1 else 's'}"
    return ComparedRow(
        rival=set_name(test.rival),
        at_equal=_AT[test.at_equal],
        by=test.by,
        theirs=f"{test.share:.0%} removed"
        if test.share
        else (features if test.size else "none as harmless"),
        own_share=interval(test.own, percent),
        their_share=interval(test.theirs, percent),
        n_better=test.n_better,
        n_worse=test.n_worse,
        n=test.own.n,
        p_value=f"{test.p_value:.2g}",
        decides=any(test is one for one in found.deciding(test.rival)),
    )


@dataclass(frozen=True, kw_only=True)
class CurveRow:
    """One point of one curve."""

    name: str
    is_own: bool
    size: str
    flipped: str
    kl: str
    complied: str
    """In text, at the pooled set's size."""


def curve_rows(found: Rivals) -> list[CurveRow]:
    rows = [
        CurveRow(
            name=set_name(curve.name),
            is_own=curve.name == "pooled" and point.size == found.size,
            size=str(point.size),
            flipped=interval(point.flipped, percent),
            kl=interval(point.kl, _small),
            complied=interval(curve.complied, percent)
            if curve.complied is not None and point.size == found.size
            else NO_VALUE,
        )
        for curve in found.curves
        for point in curve.points
    ]
    return rows + [
        CurveRow(
            name=set_name("direction"),
            is_own=False,
            size=f"{part.share:.0%} removed",
            flipped=interval(part.flipped, percent),
            kl=interval(part.kl, _small),
            complied=NO_VALUE,
        )
        for part in found.direction
    ]


def _small(value: float) -> str:
    return f"{value:z.4f}"


def by_size(found: Rivals) -> Chart:
    """Share of held-out prompts flipped against the number of features."""
    sizes = sorted({point.size for curve in found.curves for point in curve.points})
    ticks = [size for size in sizes if size & (size - 1) == 0]
    chart = Chart(x=Axis("features in the set", log=True, ticks=ticks), y=_FLIPPED, height=270)
    for curve in found.curves:
        points = curve.points
        _add(
            chart,
            curve.name,
            [float(point.size) for point in points],
            [point.flipped.value for point in points],
            [f"{point.size} features, KL {_small(point.kl.value)}" for point in points],
        )
    chart.rule(x=found.size)
    return chart


def by_side_effects(found: Rivals) -> Chart:
    """Share of held-out prompts flipped against KL on harmless prompts."""
    kl = Axis("KL of the next token of harmless prompts (nats)", log=True)
    chart = Chart(x=kl, y=_FLIPPED, height=270)
    for curve in found.curves:
        points = sorted(curve.points, key=lambda point: point.kl.value)
        _add(
            chart,
            curve.name,
            [max(point.kl.value, _SMALLEST_KL) for point in points],
            [point.flipped.value for point in points],
            [f"{point.size} features, KL {_small(point.kl.value)}" for point in points],
        )
    _add(
        chart,
        "direction",
        [max(part.kl.value, _SMALLEST_KL) for part in found.direction],
        [part.flipped.value for part in found.direction],
        [f"{part.share:.0%} removed, KL {_small(part.kl.value)}" for part in found.direction],
    )
    chart.rule(x=found.kl_limit)
    return chart


def _add(
    chart: Chart, name: str, x: Sequence[float], y: Sequence[float], texts: Sequence[str]
) -> None:
    own = name == "pooled"
    chart.points(
        x,
        y,
        colour=SET_COLOURS.get(name, MUTED),
        name=set_name(name),
        said=[
            f"{text}: {share:.0%}, {set_name(name)}" for text, share in zip(texts, y, strict=True)
        ],
        size=8 if own else 5,
        line=3 if own else 1.5,
        dash=_DASHES.get(name, DASHED),
    )
