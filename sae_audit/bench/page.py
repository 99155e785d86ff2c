"""The bench as one self-contained page."""

from collections.abc import Sequence
from dataclasses import dataclass

from sae_audit.bench.results import STAGES, BenchResult, DialRow, DialTrend, Summary
from sae_audit.findings import ALL_ALIKE, Estimate
from sae_audit.pages.charts import OWN, Axis, Chart
from sae_audit.pages.document import document
from sae_audit.pages.wording import NO_VALUE, interval, percent

_MAIN = {
    "candidates": "recall",
    "minimal sets": "exact",
    "interactions": "AUROC redundant",
    "cascades": "exact",
}
"""The measure drawn for each stage."""


def render(result: BenchResult) -> str:
    figures = {stage.replace(" ", "-"): _by_family(result.families, stage) for stage in STAGES}
    return document(
        "sae_audit.bench",
        "page.html.j2",
        figures,
        result=result,
        menu=_sections(result),
        stages=[(stage, stage.replace(" ", "-"), _MAIN[stage]) for stage in STAGES],
        notes=_NOTES,
        tables={stage: _tables(result.summaries, stage) for stage in STAGES},
        cell=cell,
        dial_cell=dial_cell,
        out_at_random=out_at_random,
        trends=[trend_row(trend) for trend in result.dial_trends],
        n_models=len({str(row.case) for row in result.rows}),
    )


def _sections(result: BenchResult) -> dict[str, str]:
    """Names in the navigation by id on the page."""
    return {
        **{stage.replace(" ", "-"): stage.capitalize() for stage in STAGES},
        **({"alarms": "False alarms"} if result.false_alarms else {}),
        **({"hostile": "Hostile models"} if result.hostile else {}),
        **({"power": "Power"} if result.power else {}),
        **({"dial": "The dial"} if result.dial else {}),
        "repeat": "Repeat it",
    }


_NOTES = {
    "candidates": "Recall by chance is that of as many features drawn from all there are: the pool's "
    "size over their number.",
    "minimal sets": "Within limits, sets are asked about on harmless prompts as well; these are "
    "not counted. A dense feature fires at every token, and without it the model babbles: a "
    "set that holds one flips prompts by breaking the model.",
    "interactions": "",
    "cascades": "Where the found minimal set is not a true one, there are no true waves: exact and wave "
    "F1 count 0, and depth error leaves the prompt out.",
}
"""Notes on the measures of each stage."""


def cell(summary: Summary, measure: str) -> str:
    """One measure with its interval and number of models; a dash if it is undefined for every model."""
    found = summary.measures[measure]
    return "-" if found is None else _said(found)


def _said(found: Estimate) -> str:
    if found.n == 1:
        return f"{found.value:z.2f} (one model)"
    if found.method == ALL_ALIKE:
        return f"{found.value:z.2f} (all {found.n} alike)"
    if not found.has_interval:
        return f"{found.value:z.2f} (of {found.n} models, too few for an interval)"
    return f"{found.value:z.2f} [{found.low:z.2f}, {found.high:z.2f}] n={found.n}"


def dial_cell(row: DialRow, measure: str) -> str:
    """A measure with its interval; for directions a lower bound if some prompts need more."""
    bound = "≥ " if measure == "directions" and row.n_beyond else ""
    return bound + interval(row.measures[measure])


def out_at_random(row: DialRow) -> str:
    """Share still refused with as many random directions projected out: mean, range and draws."""
    random = row.refused.random
    mean, lowest, highest = map(percent, (random.mean, random.lowest, random.highest))
    return f"{mean} ({lowest} to {highest}, {random.n} draws)"


@dataclass(frozen=True, kw_only=True)
class TrendRow:
    """A trend in words; a dash if there is no rank correlation."""

    measure: str
    seed: int
    n: int
    """Number of models."""
    spearman: str
    p_value: str
    apart: str


def trend_row(trend: DialTrend) -> TrendRow:
    rise = trend.rise
    return TrendRow(
        measure=trend.measure,
        seed=trend.seed,
        n=rise.n,
        spearman=NO_VALUE if rise.spearman is None else f"{rise.spearman:+z.2f}",
        p_value=NO_VALUE if rise.p_value is None else f"{rise.p_value:z.3f}",
        apart="yes" if rise.apart else "no",
    )


def _tables(summaries: Sequence[Summary], stage: str) -> dict[str, list[Summary]]:
    """Summaries of one stage's methods, by kind of SAE."""
    found: dict[str, list[Summary]] = {}
    for summary in summaries:
        if summary.stage == stage:
            found.setdefault(summary.group, []).append(summary)
    return found


def _by_family(summaries: Sequence[Summary], stage: str) -> Chart:
    """Family by method, the stage's main measure; hovering shows interval and models."""
    own = [summary for summary in summaries if summary.stage == stage]
    families = list(dict.fromkeys(summary.group.replace("_", " ") for summary in own))
    methods = list(dict.fromkeys(summary.method for summary in own))
    chart = Chart(x=Axis(names=methods), y=Axis(names=families), row=22)
    for summary in own:
        found = summary.measures[_MAIN[stage]]
        if found is not None:
            chart.cell(
                summary.method,
                summary.group.replace("_", " "),
                colour=OWN,
                strength=min(max(found.value, 0.0), 1.0),
                said=f"{summary.method} on {summary.group}: {_said(found)}",
                written=f"{found.value:z.2f}",
            )
    return chart
