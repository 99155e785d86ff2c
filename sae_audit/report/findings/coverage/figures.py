"""Figures of SAE coverage, by condition and by layer."""

from collections.abc import Sequence

from sae_audit.findings import LayerCoverage, SaeCoverage
from sae_audit.pages.charts import MUTED, OWN, Axis, Chart, Span, span
from sae_audit.report.marks import set_points, whole_layers


def conditions(found: SaeCoverage) -> Chart:
    """Mean score of refused prompts under each condition."""
    rows = [
        ("clean", found.clean),
        ("all candidates ablated", found.candidates),
        ("what the SAEs show replaced", found.saes),
        ("what their errors hold replaced", found.error),
        ("the whole direction replaced", found.direction),
    ]
    chart = set_points(rows, x="mean refusal score (nats)", as_share=False)
    chart.rule(x=0.0)
    return chart


def by_layer(found: Sequence[LayerCoverage]) -> Chart:
    """Share of the gap along the direction in the reconstruction; its slope, and that of random ones."""
    chart = Chart(x=whole_layers(), y=Axis("share in the reconstruction", shares=True), height=230)
    random = [(one.layer, one.random) for one in found if one.random]
    chart.points(
        [layer for layer, _ in random],
        [one.mean for _, one in random],
        colour=MUTED,
        name="slopes of random directions, with their range",
        said=[f"layer {layer}: {one.mean:.1%}" for layer, one in random],
        symbol="diamond",
        size=6,
        upwards=[Span(low=one.lowest, high=one.highest) for _, one in random],
    )
    stated = [(one.layer, one.in_reconstruction) for one in found if one.in_reconstruction]
    chart.points(
        [layer for layer, _ in stated],
        [share.value for _, share in stated],
        colour=OWN,
        name="share of the gap along the refusal direction",
        said=[f"layer {layer}: {share.value:.1%}" for layer, share in stated],
        size=8,
        upwards=[span(share) for _, share in stated],
    )
    slopes = [(one.layer, one.slope) for one in found if one.slope is not None]
    chart.points(
        [layer for layer, _ in slopes],
        [slope for _, slope in slopes],
        colour=OWN,
        name="its slope within a label",
        said=[f"layer {layer}: {slope:.1%}" for layer, slope in slopes],
        symbol="diamond-ring",
    )
    return chart
