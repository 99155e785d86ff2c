"""Figure of scores with one layer's stream replaced at the end of the prompt."""

from collections.abc import Callable

from sae_audit.findings import Estimate, LayerPatching, PatchedLayer
from sae_audit.pages.charts import DASHED, HARMFUL, HARMLESS, MUTED, OWN, SOLID, Axis, Chart, span
from sae_audit.report.marks import whole_layers

_Read = Callable[[PatchedLayer], Estimate]

_LINES: tuple[tuple[str, str, tuple[float, ...], _Read], ...] = (
    ("refused prompts, harmless mean put in", HARMFUL, SOLID, lambda one: one.refused),
    ("harmless prompts, harmful mean put in", HARMLESS, SOLID, lambda one: one.answered),
    ("refused prompts, only this layer's write", OWN, DASHED, lambda one: one.written),
    ("control: refused prompts, harmful mean", MUTED, SOLID, lambda one: one.own_mean),
)


def by_layer(found: LayerPatching) -> Chart:
    """Mean refusal score by patched layer, for each patch."""
    chart = Chart(x=whole_layers(), y=Axis("mean refusal score (nats)"), height=260)
    for name, colour, dash, read in _LINES:
        chart.points(
            [one.layer for one in found.layers],
            [read(one).value for one in found.layers],
            colour=colour,
            name=name,
            said=[f"layer {one.layer}: {read(one).value:+z.2f} nats" for one in found.layers],
            size=5,
            upwards=[span(read(one)) for one in found.layers],
            line=1.5,
            dash=dash,
        )
    chart.rule(y=0.0)
    return chart
