"""Figures of the unablated model's refusals."""

from collections.abc import Sequence

import plotly.graph_objects as go

from sae_audit.findings import PromptScore
from sae_audit.pages.charts import MUTED, styled
from sae_audit.report.findings.behaviour.counts import RefusalRow
from sae_audit.report.marks import (
    LABEL_COLOURS,
    LABEL_SYMBOLS,
    error_bars,
    plain,
    unlegended,
    zero_line,
)


def clean_scores(scores: Sequence[PromptScore]) -> go.Figure:
    """Refusal score of every audit prompt, by category."""
    figure = go.Figure()
    for label, colour in LABEL_COLOURS.items():
        chosen = [s for s in scores if s.split == "audit" and s.label == label]
        figure.add_trace(
            go.Box(
                x=[s.score for s in chosen],
                y=[plain(s.category or label) for s in chosen],
                text=[plain(s.prompt_id) for s in chosen],
                name=label,
                orientation="h",
                boxpoints="all",
                jitter=0.7,
                pointpos=0,
                fillcolor="rgba(0,0,0,0)",
                line={"color": MUTED, "width": 1},
                marker={
                    "color": colour,
                    "size": 6,
                    "opacity": 0.75,
                    "symbol": LABEL_SYMBOLS[label],
                },
                hovertemplate="%{text}: %{x:.2f} nats<extra></extra>",
                showlegend=False,
            )
        )
    zero_line(figure)
    n_rows = len({(s.label, s.category) for s in scores if s.split == "audit"})
    figure.update_yaxes(autorange="reversed")
    styled(figure, height=100 + 46 * n_rows, x="refusal score (nats; > 0 refuses)")
    return unlegended(figure)


def refusal_rates(rows: Sequence[RefusalRow]) -> go.Figure:
    """Refusal rates of harmful and harmless prompts, with Wilson intervals."""
    figure = go.Figure()
    for label, colour in LABEL_COLOURS.items():
        chosen = [row for row in rows if row.label == label]
        figure.add_trace(
            go.Scatter(
                x=[row.share.value for row in chosen],
                y=[plain(row.axis) for row in chosen],
                name=label,
                mode="markers",
                marker={"color": colour, "size": 10, "symbol": LABEL_SYMBOLS[label]},
                error_x=error_bars([row.share for row in chosen]),
                text=[f"{row.n_refused} of {row.share.n}" for row in chosen],
                hovertemplate="%{y}: %{x:.0%} (%{text})<extra></extra>",
            )
        )
    figure.update_yaxes(autorange="reversed")
    styled(figure, height=130 + 30 * len(rows), x="share refused (Wilson 95%)")
    return figure.update_xaxes(range=[-0.02, 1.02], tickformat=".0%")
