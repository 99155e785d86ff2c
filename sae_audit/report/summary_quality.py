"""The rows of the report's head on what ablation breaks and how far the SAEs can be trusted."""

from sae_audit.findings import SaeQuality
from sae_audit.pages.wording import interval, percent
from sae_audit.record.run import Run
from sae_audit.report.summary_row import SummaryRow
from sae_audit.report.tables_quality import least_recovered, worst_explained


def collateral_row(run: Run) -> SummaryRow:
    question = "What does the ablation break?"
    by_name = {one.name: one for one in run.controls.collateral}
    if "pooled" not in by_name:
        return SummaryRow(
            question=question, answer="Not measured: there is no pooled set.", control="None."
        )
    own, random = by_name["pooled"], by_name.get("random_matched")
    beside = (
        f"Matched random sets: KL {interval(random.kl)} nats, cross-entropy "
        f"{interval(random.cross_entropy_change)}."
        if random is not None
        else "None."
    )
    return SummaryRow(
        question=question,
        answer=f"On {own.kl.n} harmless prompts the pooled set moves the next token by KL "
        f"{interval(own.kl)} nats, and the cross-entropy of the model's own answers by "
        f"{interval(own.cross_entropy_change)} nats a token.",
        control=beside,
    )


def dictionaries_row(run: Run) -> SummaryRow:
    worst = worst_explained(run.quality)
    control = run.controls.error_term
    stated = (
        "With the SAEs' error term dropped, the same sets flip "
        f"{interval(control.flipped_dropped, percent)}; dropping it alone leaves "
        f"{interval(control.refused_dropped_alone, percent)} refusing (n = "
        f"{control.refused_dropped_alone.n})."
        if control is not None
        else "The error-term control needs a flipped prompt."
    )
    return SummaryRow(
        question="How far can the SAEs be trusted here?",
        answer="The lowest explained variance on these prompts, BOS left out, is "
        f"{interval(worst.explained_variance_without_bos)} (layer {worst.layer}, of "
        f"{len(run.quality)} audited), {_recovered(run.quality)}.",
        control="With its activations dealt to other decoder rows that SAE explains "
        f"{interval(worst.explained_variance_shuffled)}. {stated}",
    )


def _recovered(quality: list[SaeQuality]) -> str:
    least = least_recovered(quality)
    if least is None:
        return (
            "and the cross-entropy recovered is not defined: zeros in place of a layer predict the "
            "model's own answers as well"
        )
    layer, value = least
    undefined = sum(one.ce_recovered is None for one in quality)
    beside = f"; not defined at {undefined}" if undefined else ""
    return f"the lowest cross-entropy recovered {interval(value)} (layer {layer}{beside})"
