"""What strangers wrote stands in a page as text, and nothing else."""

import json

import plotly.graph_objects as go

from sae_audit.pages.charts import as_json, styled

HOSTILE = "</script><b>x\u202ey\x1b[2J"


def test_a_figures_words_cannot_leave_it_or_turn_the_page():
    figure = styled(go.Figure(go.Bar(x=[HOSTILE], y=[1.0], text=[HOSTILE])), height=10, x=HOSTILE)
    drawn = as_json(figure)
    assert "<" not in drawn
    read = json.loads(drawn)
    shown = "</script><b>x\\u202ey\\x1b[2J"
    assert read["data"][0]["x"] == [shown]
    assert read["layout"]["xaxis"]["title"]["text"] == shown
