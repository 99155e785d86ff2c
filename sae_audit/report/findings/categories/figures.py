"""Figures of the directions of categories: cosines, and what is left with each projected out."""

from sae_audit.findings import CategoryFindings, Steering
from sae_audit.findings.categories import POOLED_DIRECTION, RANDOM_DIRECTION, THRESHOLD
from sae_audit.pages.charts import (
    DASHED,
    DOTTED,
    HARMFUL,
    HARMLESS,
    MUTED,
    OWN,
    SOLID,
    Axis,
    Chart,
    Scale,
)
from sae_audit.pages.wording import nats, percent

_STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)


def cosines(found: CategoryFindings) -> Chart:
    """Cosines of all pairs, families together; below the diagonal those less the mean direction."""
    names = [one.category for one in found.directions]
    ordered = [name for own in found.families for name in own]
    place = [names.index(name) for name in ordered]
    chart = Chart(
        x=Axis(names=ordered),
        y=Axis(names=ordered),
        row=24,
        scale=Scale(
            ends=("-1", "1"),
            colours=(
                *((HARMLESS, step) for step in reversed(_STEPS[1:])),
                *((HARMFUL, step) for step in _STEPS),
            ),
        ),
    )
    for row, i in enumerate(place):
        for column, j in enumerate(place):
            matrix, kind = (
                (found.centred, "less their mean")
                if row > column
                else (found.shared_pool.matrix, "as they are")
            )
            if i == j:
                continue
            value = matrix[i][j]
            chart.cell(
                ordered[column],
                ordered[row],
                colour=HARMFUL if value >= 0.0 else HARMLESS,
                strength=min(abs(value), 1.0),
                said=f"{ordered[row]} and {ordered[column]}, {kind}: {value:z.2f}",
                # Without the zero: cells are narrow.
                written=f"{value:z.2f}".replace("0.", "."),
            )
    return chart


def trades(steering: Steering) -> Chart:
    """Refusals of harmful prompts against those of harmless ones, along every direction."""
    chart = Chart(
        x=Axis("harmless prompts refused", shares=True),
        y=Axis("harmful prompts refused", shares=True),
        height=320,
    )
    styles = {POOLED_DIRECTION: (OWN, SOLID, 2.5), THRESHOLD: (HARMLESS, DASHED, 2.0)}
    for curve in steering.curves:
        is_random = curve.along.startswith(f"{RANDOM_DIRECTION} ")
        usual = (MUTED, DOTTED, 1.0) if is_random else (HARMFUL, SOLID, 0.8)
        colour, dash, line = styles.get(curve.along, usual)
        kind = RANDOM_DIRECTION if is_random else "of a category"
        chart.points(
            [one.over_refused.value for one in curve.rates],
            [one.refused.value for one in curve.rates],
            colour=colour,
            name=curve.along if curve.along in styles else kind,
            said=[
                f"{curve.along} at {one.strength:+g}: {percent(one.refused.value)} of harmful, "
                f"{percent(one.over_refused.value)} of harmless prompts refused"
                for one in curve.rates
            ],
            size=4,
            line=line,
            dash=dash,
            opacity=0.7,
        )
    return chart


def left(found: CategoryFindings) -> Chart:
    """Share of each category's refusals left, by what is projected out."""
    names = [one.category for one in found.directions]
    rows = [one.out for one in found.ablations]
    chart = Chart(
        x=Axis("refused requests of", names=names),
        y=Axis("projected out", names=rows),
        row=24,
        scale=Scale(ends=("0%", "100% refused"), colours=[(HARMFUL, step) for step in _STEPS]),
    )
    for ablation in found.ablations:
        for name, own in zip(names, ablation.left, strict=True):
            chart.cell(
                name,
                ablation.out,
                colour=HARMFUL,
                strength=own.refused.value,
                said=f"{ablation.out} out: {percent(own.refused.value)} of {own.refused.n} {name} "
                f"still refused, mean score {nats(own.score.value)} nats",
                written=f"{100 * own.refused.value:.0f}",
            )
    return chart
