"""Figures of the unablated model's refusals."""

from collections.abc import Sequence

from sae_audit.findings import PromptScore
from sae_audit.pages.charts import Axis, Chart, span
from sae_audit.report.findings.behaviour.counts import RefusalRow
from sae_audit.report.marks import LABEL_COLOURS, LABEL_SYMBOLS, strip_row


def clean_scores(scores: Sequence[PromptScore]) -> Chart:
    """Refusal score of every audit prompt, by category."""
    audited = [one for one in scores if one.split == "audit"]
    rows = {
        (label, one.category or label): None
        for label in LABEL_COLOURS
        for one in audited
        if one.label == label
    }
    # A category that both labels have is one row, with the marks of both.
    names = list(dict.fromkeys(name for _, name in rows))
    chart = Chart(x=Axis("refusal score (nats; > 0 refuses)"), y=Axis(names=names), row=30)
    for label, name in rows:
        chosen = [s for s in audited if (s.label, s.category or s.label) == (label, name)]
        strip_row(
            chart,
            name,
            [one.score for one in chosen],
            said=[f"{one.prompt_id}: {one.score:z.2f} nats" for one in chosen],
            colour=LABEL_COLOURS[label],
            symbol=LABEL_SYMBOLS[label],
        )
    chart.rule(x=0.0)
    return chart


def refusal_rates(rows: Sequence[RefusalRow]) -> Chart:
    """Refusal rates of harmful and harmless prompts and of look-alikes, with Wilson intervals."""
    names = list(dict.fromkeys(row.axis for row in rows))
    chart = Chart(x=Axis("share refused (Wilson 95%)", shares=True), y=Axis(names=names))
    for label, colour in LABEL_COLOURS.items():
        chosen = [row for row in rows if row.label == label]
        if not chosen:
            continue
        chart.points(
            [row.share.value for row in chosen],
            [row.axis for row in chosen],
            colour=colour,
            name=label,
            said=[
                f"{row.axis}: {row.share.value:.0%} ({row.n_refused} of {row.share.n})"
                for row in chosen
            ],
            symbol=LABEL_SYMBOLS[label],
            size=8,
            across=[span(row.share) for row in chosen],
        )
    return chart
