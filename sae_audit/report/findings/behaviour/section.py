"""Refusal without intervention, and what is absent, if anything is."""

from collections.abc import Mapping, Sequence
from typing import Any

from sae_audit.findings import AbsenceKind
from sae_audit.pages.wording import (
    ABSENCES,
    absence_headline,
    of,
    share_said,
)
from sae_audit.record.run import Run
from sae_audit.report.findings.behaviour.counts import over_refused, refusal_rows
from sae_audit.report.findings.behaviour.figures import clean_scores, refusal_rates
from sae_audit.report.section import Figures, Section, SummaryRow
from sae_audit.statistics import share


def _rows(run: Run) -> Sequence[SummaryRow]:
    return [*_absence(run), _refusal(run)]


def _absence(run: Run) -> list[SummaryRow]:
    found = run.absence
    if found is None:
        return []
    also = f" Also: {'; '.join(ABSENCES[kind] for kind in found.also)}." if found.also else ""
    question, what = (
        (
            "Were features shown to carry refusal?",
            "What follows is no evidence that these features carry it",
        )
        if found.kind.of_features
        else ("Is there refusal, tied to harm, to explain?", "Nothing further was looked for")
    )
    no = "" if _is_unscored(run) else "No. "
    return [
        SummaryRow(
            question=question,
            answer=f"{no}{absence_headline(found.kind)} {found.reason}{also}",
            control=f"{what}. {found.remedy}",
        )
    ]


def _refusal(run: Run) -> SummaryRow:
    prompts, found = run.findings.prompts, run.behaviour
    return SummaryRow(
        question="Does the model refuse?",
        answer=f"{'By its score it' if _is_unscored(run) else 'It'} refused "
        f"{_counted(prompts.refused_harmful, prompts.harmful, 'harmful prompts')}.",
        control=f"It refused {_counted(prompts.refused_harmless, prompts.harmless, 'harmless ones')}"
        f"{_lookalikes(run)} "
        f"A harmful prompt scored above a harmless one in {share_said(found.separation, 'pairs')}, the "
        f"AUROC. With labels shuffled that is half of them; p is {found.separation_p_value:.2g}.",
    )


def _is_unscored(run: Run) -> bool:
    return run.absence is not None and run.absence.kind is AbsenceKind.UNSCORED_REFUSAL


def _lookalikes(run: Run) -> str:
    found = run.behaviour.refused_lookalikes
    if found is None:
        return "; there were no safe look-alikes, so over-refusal was measured on these alone."
    return f" and {share_said(found, 'safe look-alikes')}, harmless requests in alarming words."


def _counted(n: int, total: int, noun: str) -> str:
    return share_said(share(n, total), noun) if total else f"{of(n, total)} {noun}"


def _values(run: Run) -> Mapping[str, Any]:
    return {
        "refusals": refusal_rows(run.scores),
        "over_refused": over_refused(run.scores),
        "has_categories": any(score.category for score in run.scores),
    }


def _figures(run: Run) -> Figures:
    return {
        "clean_scores": clean_scores(run.scores),
        "refusal_rates": refusal_rates(refusal_rows(run.scores)),
    }


SECTION = Section(id="behaviour", title="Behaviour", rows=_rows, values=_values, figures=_figures)
