"""Effects of other sets, collateral damage of ablation, and the SAEs' error term."""

from collections.abc import Mapping, Sequence
from typing import Any

from sae_audit.findings import Collateral, Estimate
from sae_audit.pages.charts import SET_LABELS
from sae_audit.pages.wording import between
from sae_audit.record.run import Run
from sae_audit.report.findings.controls import rivals
from sae_audit.report.findings.controls.rivals_row import rivals_row, unmatched
from sae_audit.report.marks import set_points
from sae_audit.report.section import Figures, Part, Section, SummaryRow, unless_stopped_early

_DROP = "fall of the refusal score (nats)"


def _rows(run: Run) -> Sequence[SummaryRow]:
    return [*rivals_row(run), _collateral(run)]


def _broken(own: Estimate, random: Collateral | None) -> str:
    """Whether the change is told from that of random sets."""
    if random is None:
        return ""
    return (
        "More than random features do."
        if own.low > random.kl.high
        else "Not shown to be more than random features do."
    )


def _collateral(run: Run) -> SummaryRow:
    question = "What does the ablation break?"
    by_name = {one.name: one for one in run.controls.collateral}
    if "pooled" not in by_name:
        return SummaryRow(
            question=question,
            answer="Not measured: there is no pooled set.",
            control="None.",
            part=Part.SIDE_EFFECTS,
        )
    own, random = by_name["pooled"], by_name.get("random_matched")
    beside = (
        f"Random features as many: KL {between(random.kl)} nats, cross-entropy "
        f"{between(random.cross_entropy_change)}."
        if random is not None
        else "None."
    )
    return SummaryRow(
        question=question,
        answer=f"{_broken(own.kl, random)} On {own.kl.n} harmless prompts, with the pooled set "
        f"off, the next word changes by KL {between(own.kl)} nats, and the cross-entropy of the "
        f"model's own answers by {between(own.cross_entropy_change)} nats a token.",
        control=beside,
        part=Part.SIDE_EFFECTS,
    )


def _values(run: Run) -> Mapping[str, Any]:
    found = run.controls.rivals
    return {
        "labels": SET_LABELS,
        "tests": rivals.compared_rows(found) if found else [],
        "curves": rivals.curve_rows(found) if found else [],
        "all_matched": found is not None and all(one.matched for one in found.norms),
        "unmatched": unmatched(found) if found else "",
    }


def _figures(run: Run) -> Figures:
    drawn: Figures = {}
    controls = run.controls
    for name, sets in (("per_prompt", controls.per_prompt), ("pooled", controls.pooled)):
        if sets:
            drops = [(one.name, one.score_drop) for one in sets]
            drawn[f"{name}_drop"] = set_points(drops, x=_DROP, as_share=False)
    if controls.collateral:
        kl = [(one.name, one.kl) for one in controls.collateral]
        change = [(one.name, one.cross_entropy_change) for one in controls.collateral]
        drawn["collateral_kl"] = set_points(kl, x="KL (nats)", as_share=False)
        drawn["collateral_ce"] = set_points(change, x="nats a token", as_share=False)
    if controls.rivals is not None:
        drawn["rivals_by_size"] = rivals.by_size(controls.rivals)
        drawn["rivals_by_kl"] = rivals.by_side_effects(controls.rivals)
    if controls.error_term is not None:
        rows = [
            ("flipped, error kept", controls.error_term.flipped_kept),
            ("flipped, error frozen", controls.error_term.flipped_frozen),
            ("flipped, error dropped", controls.error_term.flipped_dropped),
            ("refused, error dropped, no ablation", controls.error_term.refused_dropped_alone),
        ]
        drawn["error_term"] = set_points(rows, x="share of flipped prompts", as_share=True)
    return drawn


SECTION = Section(
    id="controls",
    title="Controls",
    shown=unless_stopped_early,
    rows=_rows,
    values=_values,
    figures=_figures,
)
