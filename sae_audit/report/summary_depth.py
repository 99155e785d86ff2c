"""The rows of the report's head on other minimal sets and on doses; none where not measured."""

from sae_audit.pages.wording import interval, of, percent
from sae_audit.record.run import Run
from sae_audit.report.summary_row import SummaryRow
from sae_audit.report.tables_depth import family_counts


def family_rows(run: Run) -> list[SummaryRow]:
    found = family_counts(run.minimal_set_families, seed=run.config.seed)
    if found is None:
        return []
    complete = (
        f"{of(found.n_complete, found.n_prompts)} lists are complete"
        if found.n_complete
        else "No list is known to be complete"
    )
    return [
        SummaryRow(
            question="Is there more than one way to flip a refusal?",
            answer=f"Within {run.config.minimal.more_sets_budget} more scored sets a prompt, a median "
            f"of {interval(found.n_sets, '{:g}'.format)} minimal sets was found (at most "
            f"{found.most_sets}); a larger budget may find more. On "
            f"{interval(found.without_core, percent)} of {found.n_prompts} prompts no feature is in "
            "all of them.",
            control=f"Each set is certified by its own scores. {complete}. Completeness takes for "
            "granted that ablating more never restores refusal; scores contradict that on "
            f"{of(found.n_contradicted, found.n_prompts)} prompts.",
        )
    ]


def dose_rows(run: Run) -> list[SummaryRow]:
    by_kind = {one.ablated: one for one in run.controls.doses}
    if not by_kind:
        return []
    own, overshot = by_kind.get("minimal_set"), by_kind.get("candidates")
    answers: list[str] = []
    if own is not None and own.mean is not None:
        answers.append(
            f"Of a prompt's minimal set a mean dose of {interval(own.mean, _two_places)} flips it "
            f"(1 is the ablation; {own.mean.n} prompts)."
        )
    if overshot is not None:
        answers.append(
            f"Overshooting all candidates up to {run.config.dose.limit:g} times flips "
            f"{interval(overshot.flipped, percent)} of {overshot.flipped.n} prompts that ablating "
            "them does not."
        )
    controls = [
        f"Random sets matched to the {'minimal sets' if one is own else 'candidates'}, at the same "
        f"doses, flip {interval(one.random_flipped, percent)}."
        for one in by_kind.values()
        if one.random_flipped is not None
    ]
    return [
        SummaryRow(
            question="How much of an ablation does it take?",
            answer=" ".join(answers),
            control=" ".join(controls) or "None.",
        )
    ]


def _two_places(value: float) -> str:
    return f"{value:.2f}"
