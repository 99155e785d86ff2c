"""Summary rows on minimal sets: by prompt, further ones, ablation scales, one for all."""

from collections.abc import Sequence

from sae_audit.findings import Estimate, SetControl
from sae_audit.pages.wording import interval, of, percent
from sae_audit.record.run import Run
from sae_audit.report.findings.minimal import by_text
from sae_audit.report.findings.minimal.counts import family_counts, size_range
from sae_audit.report.flips import flips_said, pooled_flips_said
from sae_audit.report.section import Part, SummaryRow

_RIVALS = {
    "random_matched": "random ones that fire as often",
    "random_norm": "random ones that remove as long a vector, or the longest there are,",
    "linear_probe": "a linear probe's",
    "linear_probe_end": "those of a probe of the last token",
    "top_cosine": "the nearest by cosine",
    "mean_difference": "the largest by difference of means",
    "attribution": "the largest by attribution",
}


def summary_rows(run: Run) -> Sequence[SummaryRow]:
    return [
        _minimal(run),
        *_families(run),
        *_scales(run),
        *_confirmed(run),
        *by_text.summary_row(run),
        _pooled(run),
    ]


def _minimal(run: Run) -> SummaryRow:
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
    return SummaryRow(
        question=question,
        answer=f"Median {size_range(sizes)} of {pool} candidates: such "
        f"sets flip {flips_said(run)}. {certified} of them are certified minimal by score.",
        control="Equally large sets flip by score, of the same prompts: "
        f"{_rivals(run.controls.per_prompt)}."
        f"{_null_search(run)}",
    )


def _null_search(run: Run) -> str:
    found = run.search_null
    if found is None:
        return ""
    near = (
        f" {len(found.near_zero)} of the refused prompts score within {found.margin:g} nats of 0."
        if found.near_zero
        else ""
    )
    most = max(found.n_flipped_by_pools)
    return (
        f" Ablating all of {found.n_pools} random pools, matched to the candidates, flips by score at "
        f"most {of(most, found.flipped.n)}; all candidates, "
        f"{interval(found.flipped_by_candidates, percent)} "
        f"(p = {found.p_value:.2g} by rank, smallest possible {found.smallest_p:.2g}).{near}"
    )


def _families(run: Run) -> list[SummaryRow]:
    found = family_counts(run.minimal_set_families)
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


def _scales(run: Run) -> list[SummaryRow]:
    by_kind = {one.ablated: one for one in run.controls.scales}
    if not by_kind:
        return []
    own, overshot = by_kind.get("minimal_set"), by_kind.get("candidates")
    answers: list[str] = []
    if own is not None and own.mean is not None:
        answers.append(
            f"Of a prompt's minimal set a mean scale of {interval(own.mean, _two_places)} flips it "
            f"(1 is the ablation; {own.mean.n} prompts)."
        )
    if overshot is not None:
        answers.append(
            f"Overshooting all candidates up to {run.config.ablation_scale.limit:g} times flips "
            f"{interval(overshot.flipped, percent)} of {overshot.flipped.n} prompts that ablating "
            "them does not."
        )
    controls = [
        f"Random sets matched to the {'minimal sets' if one is own else 'candidates'}, at the same "
        f"scales, flip {interval(one.random_flipped, percent)}."
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


def _confirmed(run: Run) -> list[SummaryRow]:
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
            f"to {found.agreement.n} prompts; permuted they would on "
            f"{percent(found.expected_agreement)}.",
        )
    ]


def _by_random(complied: Estimate | None) -> str:
    return (
        f", with as many random features ablated {interval(complied, percent)}" if complied else ""
    )


def _pooled(run: Run) -> SummaryRow:
    question, pooled = "Does one set work for all prompts?", run.pooled_set
    if pooled is None:
        return SummaryRow(
            question=question,
            answer="Not tried: too few prompts were flipped to build one set and test it.",
            control="None.",
            part=Part.EXTENT,
        )
    return SummaryRow(
        question=question,
        answer=f"Of {len(pooled.held_out)} refused prompts that they were not built on, "
        f"{len(pooled.features)} features built on {len(pooled.built_on)} others flip "
        f"{pooled_flips_said(pooled, run.confirmation)}.",
        control="Equally large sets flip by score, of the same prompts: "
        f"{_rivals(run.controls.pooled)}.",
        part=Part.EXTENT,
    )


def _rivals(controls: tuple[SetControl, ...]) -> str:
    by_name = {control.name: control for control in controls}
    return ", ".join(
        f"{label} {interval(by_name[name].flipped, percent)}"
        for name, label in _RIVALS.items()
        if name in by_name
    )
