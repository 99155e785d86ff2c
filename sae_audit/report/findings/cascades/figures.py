"""Figures of cascades: scores behind each wave, the waves' layers, compensation."""

from collections.abc import Mapping, Sequence

from sae_audit.findings import Cascade, Estimate, TokenShare
from sae_audit.pages.charts import AMBER, HARMFUL, HARMLESS, MUTED, OWN, Axis, Chart, span
from sae_audit.report.findings.cascades.counts import TOKEN_NAMES, undone
from sae_audit.report.marks import strip


def scores(cascades: Sequence[Cascade]) -> Chart:
    """Score of each prompt, clean and after each further wave is ablated."""
    chart = Chart(
        x=Axis("waves ablated (0: clean)", whole=True), y=Axis("refusal score (nats)"), height=250
    )
    for found in cascades:
        after = [found.clean_score, *(wave.score_after for wave in found.waves)]
        chart.points(
            list(range(found.depth + 1)),
            after,
            colour=OWN,
            said=[found.prompt_id],
            symbol="none",
            opacity=0.45,
            line=1,
        )
    for first, colour in ((True, HARMFUL), (False, OWN)):
        marks = [
            (found.prompt_id, n, score)
            for found in cascades
            for n, score in enumerate((found.clean_score, *(w.score_after for w in found.waves)))
            if (n == 0) == first
        ]
        chart.points(
            [n for _, n, _ in marks],
            [score for _, _, score in marks],
            colour=colour,
            said=[f"{prompt}: {score:z.2f} nats" for prompt, _, score in marks],
            size=5,
            opacity=0.6,
        )
    chart.rule(y=0.0)
    return chart


def layers(counts: Mapping[int, Mapping[int, int]], audited: Sequence[int]) -> Chart:
    """Number of features ablated by each wave, by layer, over all prompts."""
    numbers = sorted(counts)
    chart = Chart(
        x=Axis("layer", names=[str(layer) for layer in audited]),
        y=Axis(names=[f"wave {number}" for number in numbers]),
        row=34,
    )
    most = max((n for row in counts.values() for n in row.values()), default=0) or 1
    for number in numbers:
        for layer in audited:
            n = counts[number].get(layer, 0)
            chart.cell(
                str(layer),
                f"wave {number}",
                colour=OWN,
                strength=n / most,
                said=f"wave {number}, layer {layer}: {n} features over all prompts",
                written=str(n),
            )
    return chart


def compensation(cascades: Sequence[Cascade], random: Sequence[Cascade]) -> Chart:
    """Share of each prompt's first wave, and of its random set, undone by activated features."""
    own, other = "of the minimal set", "random, matched"
    rows = [
        (name, value, prompt_id)
        for name, found in ((own, cascades), (other, random))
        for prompt_id, value in undone(found).items()
    ]
    chart = strip(rows, x="direct less total effect (nats; 0: nothing covers)", colours={own: OWN})
    chart.rule(x=0.0)
    return chart


def activation_tokens(shares: Sequence[TokenShare]) -> Chart:
    """Tokens at which features activate after the first wave, after random sets, and anyway."""
    first = [one for one in shares if one.n_waves == 1]
    names = [TOKEN_NAMES[one.token] for one in first]
    null = [one.random_peaks for one in first if one.random_peaks is not None]
    series: tuple[tuple[str, list[Estimate], str], ...] = (
        ("activated features", [one.peaks for one in first], OWN),
        *([("activated after random sets", null, AMBER)] if null else []),
        ("features of the clean run", [one.clean_peaks for one in first], HARMLESS),
        ("tokens", [one.tokens for one in first], MUTED),
    )
    chart = Chart(x=Axis("share, mean over prompts", shares=True), y=Axis(names=names), row=76)
    width = 0.8 / len(series)
    for i, (name, estimates, colour) in enumerate(series):
        chart.bars(
            names,
            [one.value for one in estimates],
            colours=colour,
            name=name,
            said=[
                f"{token}: {one.value:.1%}, {name}"
                for token, one in zip(names, estimates, strict=True)
            ],
            spans=[span(one) for one in estimates],
            across=True,
            thickness=width * 0.9,
            beside=(i + 0.5) * width - 0.4,
        )
    return chart
