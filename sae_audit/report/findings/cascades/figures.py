"""Figures of cascades: scores behind each wave, the waves' layers, compensation."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from sae_audit.findings import Cascade, Estimate, TokenShare
from sae_audit.pages.charts import HARMFUL, HARMLESS, MUTED, OWN, styled
from sae_audit.report.findings.cascades.counts import TOKEN_NAMES, undone
from sae_audit.report.marks import error_bars, plain, strip, unlegended, zero_line

_UNDER_NULL = "#E69F00"
"""Colour of random sets, from the shared palette."""


def scores(cascades: Sequence[Cascade]) -> go.Figure:
    """Score of each prompt, clean and after each further wave is ablated."""
    figure = go.Figure()
    for found in cascades:
        figure.add_trace(
            go.Scatter(
                x=list(range(found.depth + 1)),
                y=[found.clean_score, *(wave.score_after for wave in found.waves)],
                mode="lines+markers",
                line={"color": OWN, "width": 1},
                marker={"size": 5, "color": [HARMFUL] + [OWN] * found.depth},
                opacity=0.55,
                name=plain(found.prompt_id),
                hovertemplate="%{y:.2f} nats",
                showlegend=False,
            )
        )
    zero_line(figure, vertical=False)
    styled(figure, height=360, x="waves ablated (0: clean)", y="refusal score (nats)")
    return unlegended(figure.update_xaxes(dtick=1))


def layers(counts: Mapping[int, Mapping[int, int]], audited: Sequence[int]) -> go.Figure:
    """Number of features ablated by each wave, by layer, over all prompts."""
    numbers = sorted(counts)
    grid = [[counts[number].get(layer, 0) for layer in audited] for number in numbers]
    figure = go.Figure(
        go.Heatmap(
            x=[str(layer) for layer in audited],
            y=[f"wave {number}" for number in numbers],
            z=grid,
            texttemplate="%{z}",
            colorscale=[[0, "#f2f2f2"], [1, OWN]],
            showscale=False,
            xgap=2,
            ygap=2,
            hovertemplate="%{y}, layer %{x}: %{z} features over all prompts<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(type="category", showgrid=False)
    return unlegended(styled(figure, height=90 + 44 * len(numbers), x="layer"))


def compensation(cascades: Sequence[Cascade], random: Sequence[Cascade]) -> go.Figure:
    """Share of each prompt's first wave, and of its random set, undone by activated features."""
    own, other = "of the minimal set", "random, matched"
    rows = [
        (name, value, prompt_id)
        for name, found in ((own, cascades), (other, random))
        for prompt_id, value in undone(found).items()
    ]
    figure = strip(rows, x="direct less total effect (nats; 0: nothing covers)", colours={own: OWN})
    zero_line(figure)
    return figure


def activation_tokens(shares: Sequence[TokenShare]) -> go.Figure:
    """Tokens at which features activate after the first wave, after random sets, and anyway."""
    first = [one for one in shares if one.n_waves == 1]
    names = [TOKEN_NAMES[one.token].replace(", ", ",<br>") for one in first]
    figure = go.Figure()
    null = [one.random_peaks for one in first if one.random_peaks is not None]
    series: tuple[tuple[str, list[Estimate], str], ...] = (
        ("activated features", [one.peaks for one in first], OWN),
        *([("activated after random sets", null, _UNDER_NULL)] if null else []),
        ("features of the clean run", [one.clean_peaks for one in first], HARMLESS),
        ("tokens", [one.tokens for one in first], MUTED),
    )
    for name, estimates, colour in series:
        figure.add_trace(
            go.Bar(
                x=names,
                y=[one.value for one in estimates],
                name=name,
                marker={"color": colour},
                error_y=error_bars(estimates),
                hovertemplate="%{x}: %{y:.1%}<extra>" + name + "</extra>",
            )
        )
    figure.update_yaxes(range=[0, 1.02], tickformat=".0%")
    return styled(figure, height=320, y="share, mean over prompts")
