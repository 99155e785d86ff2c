"""The rows of the report's head on minimal sets, one a prompt and one for all."""

from sae_audit.findings import Estimate, SetControl
from sae_audit.pages.wording import interval, of, percent
from sae_audit.record.run import Run
from sae_audit.report.summary_row import SummaryRow
from sae_audit.report.tables_chance import size_range
from sae_audit.statistics import share

_RIVALS = {
    "random_matched": "matched random ones",
    "linear_probe": "a linear probe's",
    "top_cosine": "the nearest by cosine",
}


def minimal_row(run: Run) -> SummaryRow:
    question = "How few features hold up a refusal?"
    n, flipped = len(run.minimal_sets), [found for found in run.minimal_sets if found.flipped]
    pool = max((found.n_candidates for found in run.minimal_sets), default=0)
    if not flipped:
        return SummaryRow(
            question=question,
            answer=f"None of {n} refused prompts was flipped by ablating all candidates "
            f"({pool} features).",
            control="Widen the pool (candidates.per_layer) before reading this as robustness.",
        )
    sizes = [len(found.features) for found in flipped]
    certified = sum(found.certified for found in flipped)
    rate = share(len(flipped), n)
    return SummaryRow(
        question=question,
        answer=f"Median {size_range(sizes, seed=run.config.seed)} of {pool} candidates: such "
        f"sets flip {of(len(flipped), n)} refused prompts ({interval(rate, percent)}), and "
        f"{certified} of them are certified minimal.",
        control=f"Equally large sets flip, of the same prompts: {_rivals(run.controls.per_prompt)}."
        f"{_search_by_chance(run)}",
    )


def _search_by_chance(run: Run) -> str:
    found = run.chance_control
    if found is None:
        return ""
    sizes = (
        f", in sets of {size_range(found.sizes_random, seed=run.config.seed)}"
        if found.sizes_random
        else ""
    )
    near = (
        f" {len(found.near_zero)} of the refused prompts score within {found.margin:g} nats of 0."
        if found.near_zero
        else ""
    )
    return (
        f" The same search among as many matched random features flips "
        f"{interval(found.flipped_random, percent)} of the refused prompts{sizes} (sign test, p = "
        f"{found.p_value:.2g}).{near}"
    )


def confirmation_rows(run: Run) -> list[SummaryRow]:
    found = run.confirmation
    if found is None or found.confirmed is None:
        return []
    return [
        SummaryRow(
            question="Does the text of the answer flip too?",
            answer=f"The judge ({found.judge}) calls {interval(found.confirmed, percent)} of "
            f"{found.confirmed.n} answers under ablation compliance.",
            control=f"Of the same prompts' unablated answers it calls "
            f"{interval(found.complied_clean, percent)} so{_by_random(found.complied_random)}. Score "
            f"and judge agree on {interval(found.agreement, percent)} of {len(found.checks)} answers "
            f"to {found.agreement.n} prompts; dealt anew they would on "
            f"{percent(found.agreement_by_chance)}.",
        )
    ]


def _by_random(complied: Estimate | None) -> str:
    return (
        f", with as many random features ablated {interval(complied, percent)}" if complied else ""
    )


def pooled_row(run: Run) -> SummaryRow:
    question, pooled = "Does one set work for all prompts?", run.pooled_set
    if pooled is None:
        return SummaryRow(
            question=question,
            answer="Not tried: too few prompts were flipped to build one set and test it.",
            control="None.",
        )
    return SummaryRow(
        question=question,
        answer=f"{len(pooled.features)} features built on {len(pooled.built_on)} prompts flip "
        f"{interval(pooled.flipped_held_out, percent)} of {len(pooled.held_out)} refused prompts "
        "they were not built on.",
        control=f"Equally large sets flip, of the same prompts: {_rivals(run.controls.pooled)}.",
    )


def _rivals(controls: tuple[SetControl, ...]) -> str:
    by_name = {control.name: control for control in controls}
    return ", ".join(
        f"{label} {interval(by_name[name].flipped, percent)}"
        for name, label in _RIVALS.items()
        if name in by_name
    )
