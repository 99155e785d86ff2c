"""In which layers refusal reaches the tokens behind the request."""

from collections.abc import Mapping, Sequence
from typing import Any

from sae_audit.findings import Estimate, LayerPatching
from sae_audit.margins import refuses
from sae_audit.pages.wording import between, nats, percent
from sae_audit.record.run import Run
from sae_audit.report.findings.layers.figures import by_layer
from sae_audit.report.section import Figures, Section, SummaryRow


def _rows(run: Run) -> Sequence[SummaryRow]:
    found = run.layer_patching
    if found is None:
        return []
    return [
        SummaryRow(
            question="In which layer does refusal reach the end of the prompt?",
            answer=arrival_sentence(found),
            control=control_sentence(found),
        )
    ]


def arrival_sentence(found: LayerPatching) -> str:
    """The layer of the largest step, and that in which half of the effect is there."""
    if found.arrival is None or found.steepest is None or found.share_steepest is None:
        return (
            "Not known: with the tokens behind the request as in harmless prompts even after the last "
            "layer, prompts are refused as before."
        )
    control = [one.own_mean for one in found.layers if one.layer == found.steepest]
    if any(not refuses(one.low) for one in control):
        return (
            "Not known: with harmful prompts' own mean put in behind the request refusal is not sure to "
            f"outlast the change either (layer {found.steepest}), so the change itself may end it."
        )
    last = found.layers[-1].refused
    below = "one layer below" if found.steepest else "without a change"
    return (
        f"More in layer {found.steepest} than in any other: with harmless prompts' mean inner state put "
        f"in behind the request, {percent(found.share_steepest)} more of the refusal score goes there "
        f"than {below}. Half of what goes in the last layer (to {nats(last.value)} nats) goes from "
        f"layer {_from(found.arrival)}. Of what single layers write, that of layer "
        f"{found.largest_write} matters most."
    )


def _from(arrival: Estimate) -> str:
    if arrival.low == arrival.high:
        return f"{arrival.value:.3g} on, of all {arrival.n} refused prompts alike"
    layers = f"{between(arrival, '{:.3g}'.format)} on (median over"
    return f"{layers} {arrival.n} refused prompts)"


def control_sentence(found: LayerPatching) -> str:
    """Whether refusal outlasts a change that is as blunt."""
    lowest = min(found.layers, key=lambda one: one.own_mean.value)
    kept = "are still refused" if refuses(lowest.own_mean.low) else "are not surely refused"
    return (
        f"With harmful prompts' mean in its place refused prompts {kept}, whatever the layer: "
        f"{between(lowest.own_mean, nats)} nats at the lowest, in layer {lowest.layer}, of "
        f"{nats(found.clean_refused.value)} nats without a change."
    )


def _values(run: Run) -> Mapping[str, Any]:
    found = run.layer_patching
    assert found is not None, "shown without patches"
    return {
        "found": found,
        "sentence": arrival_sentence(found),
        "control": control_sentence(found),
    }


def _figures(run: Run) -> Figures:
    found = run.layer_patching
    return {} if found is None else {"patched_layers": by_layer(found)}


SECTION = Section(
    id="layers",
    title="Layers",
    shown=lambda run: run.layer_patching is not None,
    rows=_rows,
    values=_values,
    figures=_figures,
)
