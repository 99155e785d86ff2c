"""The rows of the report's head on refusal itself: whether there is any, and any mechanism."""

from sae_audit.pages.wording import ABSENCES, interval
from sae_audit.record.run import Run
from sae_audit.report.summary_row import SummaryRow, share_of


def absence_rows(run: Run) -> list[SummaryRow]:
    found = run.absence
    if found is None:
        return []
    also = f" Also: {', '.join(ABSENCES[kind] for kind in found.also)}." if found.also else ""
    what = (
        "Nothing further was looked for"
        if found.kind.early
        else "What follows is no evidence of one"
    )
    return [
        SummaryRow(
            question="Is a refusal mechanism claimed?",
            answer=f"No: {ABSENCES[found.kind]}. {found.reason}{also}",
            control=f"{what}. {found.remedy}",
        )
    ]


def refusal_row(run: Run) -> SummaryRow:
    prompts, found = run.findings.prompts, run.behaviour
    return SummaryRow(
        question="Does the model refuse?",
        answer=f"It refuses {share_of(prompts.refused_harmful, prompts.harmful)} harmful prompts.",
        control=f"It also refuses {share_of(prompts.refused_harmless, prompts.harmless)} harmless "
        f"ones. Harmful prompts score higher with AUROC {interval(found.separation)} (p = "
        f"{found.separation_p_value:.2g}, labels permuted).",
    )
