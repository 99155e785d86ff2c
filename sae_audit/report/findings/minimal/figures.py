"""Figures of minimal sets: scores, ablation scales, shared features."""

from collections.abc import Sequence

from sae_audit.findings import FlipScale, MinimalSet
from sae_audit.pages.charts import (
    AMBER,
    HARMFUL,
    HARMLESS,
    MUTED,
    OLIVE,
    OWN,
    PINK,
    SKY,
    SLATE,
    Axis,
    Chart,
    Span,
)
from sae_audit.report.findings.minimal.counts import FeatureRow
from sae_audit.report.marks import whole_layers

_LABELLED_ROWS = 60
_SCALED = {"minimal_set": ("own minimal set", OWN), "candidates": ("all candidates", HARMFUL)}
_PALETTE = (HARMLESS, AMBER, OWN, PINK, SKY, HARMFUL, SLATE, OLIVE)


def scores(found: Sequence[MinimalSet]) -> Chart:
    """Each prompt's score: clean, with all candidates ablated, with its minimal set ablated."""
    rows = sorted(found, key=lambda one: (one.flipped, one.clean_score, one.prompt_id))[::-1]
    labelled = len(rows) <= _LABELLED_ROWS
    chart = Chart(
        x=Axis("refusal score (nats; < 0 complies)"),
        y=Axis(names=[one.prompt_id for one in rows], labelled=labelled),
        row=16 if labelled else 7,
    )
    flipped = [one for one in rows if one.flipped]
    series = (
        ("clean", rows, lambda one: one.clean_score, HARMFUL, "circle"),
        ("all candidates ablated", rows, lambda one: one.candidates_score, MUTED, "square"),
        ("minimal set ablated", flipped, lambda one: one.ablated_score, OWN, "diamond"),
    )
    chart.points(
        [one.clean_score for one in rows],
        [one.prompt_id for one in rows],
        colour=MUTED,
        symbol="none",
        across=[
            Span(low=min(ends), high=max(ends))
            for one in rows
            for ends in [(one.candidates_score, one.clean_score)]
        ],
    )
    for name, shown, score, colour, symbol in series:
        chart.points(
            [score(one) for one in shown],
            [one.prompt_id for one in shown],
            colour=colour,
            name=name,
            said=[f"{one.prompt_id}: {score(one):z.2f} nats, {name}" for one in shown],
            symbol=symbol,
            size=7 if symbol == "circle" else 6,
        )
    chart.rule(x=0.0)
    return chart


def common_features(rows: Sequence[FeatureRow], n_flipped: int) -> Chart:
    """The features in most minimal sets, coloured by layer."""
    layers = sorted({row.feature.layer for row in rows})
    coloured = len(layers) <= len(_PALETTE)
    chart = Chart(
        x=Axis(f"minimal sets that hold it, of {n_flipped}", whole=True, from_zero=True),
        y=Axis(names=[str(row.feature) for row in rows]),
        row=20,
    )
    for i, layer in enumerate(layers):
        chosen = [row for row in rows if row.feature.layer == layer]
        chart.bars(
            [str(row.feature) for row in chosen],
            [row.n_prompts for row in chosen],
            colours=_PALETTE[i] if coloured else OWN,
            name=f"layer {layer}" if coloured else "",
            said=[f"{row.feature}: {row.n_prompts} of {n_flipped} prompts" for row in chosen],
            across=True,
            thickness=0.7,
        )
    return chart


def by_layer(counts: dict[int, int]) -> Chart:
    """Layers of the features in all minimal sets."""
    chart = Chart(
        x=whole_layers(),
        y=Axis("members of minimal sets", whole=True, from_zero=True),
        height=180,
    )
    chart.bars(
        list(counts),
        list(counts.values()),
        colours=OWN,
        said=[f"layer {layer}: {n}" for layer, n in counts.items()],
        written=[str(n) for n in counts.values()],
    )
    return chart


def scales(found: Sequence[FlipScale]) -> Chart:
    """Each prompt's score at every scored scale, and the smallest scale that flips it."""
    chart = Chart(x=Axis("scale (1: the ablation)"), y=Axis("refusal score (nats)"), height=260)
    for one in found:
        chart.points(
            [point.scale for point in one.points],
            [point.score for point in one.points],
            colour=MUTED,
            said=[one.prompt_id],
            symbol="none",
            opacity=0.45,
            line=1,
        )
    for ablated, (name, colour) in _SCALED.items():
        chosen = [
            (one.scale, one.score, one.prompt_id)
            for one in found
            if one.ablated == ablated and one.scale is not None
        ]
        if chosen:
            chart.points(
                [scale for scale, _, _ in chosen],
                [score for _, score, _ in chosen],
                colour=colour,
                name=f"smallest scale that flips, {name}",
                said=[
                    f"{prompt}: scale {at:z.3f}, {score:z.2f} nats" for at, score, prompt in chosen
                ],
                size=6,
            )
    chart.rule(y=0.0)
    return chart
