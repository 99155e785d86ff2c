"""Figures and rows of the pooled set against its rivals."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from sae_audit.findings import Rivals, RivalTest
from sae_audit.pages.charts import MUTED, SET_COLOURS, styled
from sae_audit.pages.wording import NO_VALUE, interval, percent
from sae_audit.report.marks import set_name

_DASHES = {"pooled": "solid", "random_matched": "dot", "random_norm": "dot"}
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
    return f"{value:.4f}"


def by_size(found: Rivals) -> go.Figure:
    """Share of held-out prompts flipped against the number of features."""
    figure = go.Figure()
    for curve in found.curves:
        points = curve.points
        _add(
            figure,
            curve.name,
            [float(point.size) for point in points],
            [point.flipped.value for point in points],
            [f"{point.size} features, KL {_small(point.kl.value)}" for point in points],
        )
    figure.add_vline(x=found.size, line={"color": MUTED, "dash": "dot", "width": 1.5})
    styled(figure, height=430, x="features in the set", y="share of held-out prompts flipped")
    sizes = sorted({point.size for curve in found.curves for point in curve.points})
    ticks = [size for size in sizes if size & (size - 1) == 0]
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=[str(size) for size in ticks])
    return _as_shares(figure)


def by_side_effects(found: Rivals) -> go.Figure:
    """Share of held-out prompts flipped against KL on harmless prompts."""
    figure = go.Figure()
    for curve in found.curves:
        points = sorted(curve.points, key=lambda point: point.kl.value)
        _add(
            figure,
            curve.name,
            [max(point.kl.value, _SMALLEST_KL) for point in points],
            [point.flipped.value for point in points],
            [f"{point.size} features, KL {_small(point.kl.value)}" for point in points],
        )
    _add(
        figure,
        "direction",
        [max(part.kl.value, _SMALLEST_KL) for part in found.direction],
        [part.flipped.value for part in found.direction],
        [f"{part.share:.0%} removed, KL {_small(part.kl.value)}" for part in found.direction],
    )
    figure.add_vline(x=found.kl_limit, line={"color": MUTED, "dash": "dot", "width": 1.5})
    styled(
        figure,
        height=430,
        x="KL of the next token of harmless prompts (nats)",
        y="share of held-out prompts flipped",
    )
    figure.update_xaxes(type="log", exponentformat="power")
    return _as_shares(figure)


def _add(
    figure: go.Figure, name: str, x: Sequence[float], y: Sequence[float], texts: Sequence[str]
) -> None:
    own = name == "pooled"
    figure.add_trace(
        go.Scatter(
            x=list(x),
            y=list(y),
            text=list(texts),
            name=set_name(name),
            mode="lines+markers",
            line={
                "color": SET_COLOURS.get(name, MUTED),
                "width": 3 if own else 1.5,
                "dash": _DASHES.get(name, "dash"),
            },
            marker={"size": 9 if own else 6},
            hovertemplate="%{text}: %{y:.0%}<extra>" + set_name(name) + "</extra>",
        )
    )


def _as_shares(figure: go.Figure) -> go.Figure:
    figure.update_yaxes(range=[-0.03, 1.05], tickformat=".0%")
    return figure.update_layout(margin={"t": 90})
