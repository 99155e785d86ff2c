"""Figure of the candidates' cosines with the direction."""

from collections.abc import Sequence

from sae_audit.findings import CandidateSet, LayerCoverage
from sae_audit.pages.charts import DOTTED, MUTED, OWN, Axis, Chart, Span
from sae_audit.report.marks import whole_layers


def cosines(found: CandidateSet, layers: Sequence[LayerCoverage]) -> Chart:
    """Cosine of every candidate with the direction by layer, and of the rows nearest random ones."""
    chart = Chart(x=whole_layers(), y=Axis("cosine with the direction", from_zero=True), height=220)
    random = [one.nearest_rows_random for one in layers]
    chart.points(
        [one.layer for one in layers],
        [one.mean for one in random],
        colour=MUTED,
        said=[
            f"nearest to random directions, layer {one.layer}: {one.nearest_rows_random.mean:z.3f}"
            for one in layers
        ],
        size=4,
        upwards=[Span(low=one.lowest, high=one.highest) for one in random],
        line=1.5,
        dash=DOTTED,
    )
    chart.points(
        [one.feature.layer for one in found.candidates],
        [one.cosine for one in found.candidates],
        colour=OWN,
        said=[f"{one.feature}: cosine {one.cosine:z.3f}" for one in found.candidates],
        opacity=0.6,
    )
    return chart
