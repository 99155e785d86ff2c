"""Summary rows on minimal sets: by prompt, further ones, ablation scales, one for all."""

from collections.abc import Sequence

from sae_audit.findings import Estimate, PooledSet, SetControl
from sae_audit.pages.wording import between, of, percent, share_said
from sae_audit.record.run import Run
from sae_audit.report.findings.minimal import by_text
from sae_audit.report.findings.minimal.counts import family_counts
from sae_audit.report.flips import flips_said, pooled_flips_said
from sae_audit.report.section import Part, SummaryRow
from sae_audit.report.verdict.words import several
from sae_audit.statistics import median

_RIVALS = {
    "random_matched": "random ones that fire as often",
    "random_norm": "random ones that remove as much",
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
        answer=f"Usually {_size(sizes)}, of {pool} searched. Switched off, such sets ended the "
        f"refusal on {flips_said(run)}. Leaving any one feature on brought the score back above 0 on "
        f"{certified} of {len(flipped)} prompts.",
        control="Sets as large of another origin ended refusals of the same prompts, by score: "
        f"{_rivals(run.controls.per_prompt)}."
        f"{_null_search(run)}",
    )


def _size(sizes: Sequence[int]) -> str:
    """`2 (2 to 3; from 1 to 4)`: median, its interval, range."""
    found = median([float(size) for size in sizes])
    if min(sizes) == max(sizes):
        return f"{found.value:g} on every prompt"
    within = f"{found.low:g} to {found.high:g}; " if found.has_interval else ""
    return f"{found.value:g} ({within}from {min(sizes)} to {max(sizes)})"


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
        f" Of {found.n_pools} pools of as many random features, switched off whole, the best ended "
        f"{of(most, found.flipped.n)} refusals by score; all searched features, "
        f"{share_said(found.flipped_by_candidates)}. "
        f"By rank p is {found.p_value:.2g}; {found.smallest_p:.2g} is the smallest possible.{near}"
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
            answer=f"{'Yes' if found.n_sets.value > 1 else 'Hardly'}: "
            f"{between(found.n_sets, '{:g}'.format)} different minimal sets a prompt (median; at "
            f"most {found.most_sets}), perhaps more: {run.config.minimal.more_sets_budget} more "
            f"sets a prompt were tried. On "
            f"{share_said(found.without_core, 'prompts')} any one "
            "feature can be replaced by others.",
            control=f"Each set is proved by its own scores. {complete}. A complete list takes for "
            "granted that switching off more never restores refusal; scores contradict that on "
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
            f"Turning a prompt's set down by {between(own.mean, percent)} was enough, on average "
            f"over {own.mean.n} prompts (100%: switched off)."
        )
    if overshot is not None:
        answers.append(
            f"Overshooting all candidates up to {run.config.ablation_scale.limit:g} times ended "
            f"{share_said(overshot.flipped)} refusals that switching them off did not."
        )
    controls = [
        f"Random sets matched to the {'minimal sets' if one is own else 'candidates'}, turned down "
        f"as far, ended {share_said(one.random_flipped)}."
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


def _confirmed(run: Run) -> list[SummaryRow]:
    found = run.confirmation
    if found is None or found.confirmed is None:
        return []
    return [
        SummaryRow(
            question="Does the text of the answer flip too?",
            answer=f"The written answer complied too in {share_said(found.confirmed, 'cases')}. The "
            f"judge was {found.judge}.",
            control=f"With nothing switched off: {share_said(found.complied_clean)}"
            f"{_by_random(found.complied_random)}. Score and judge agree on "
            f"{between(found.agreement, percent)} of {len(found.checks)} answers to "
            f"{found.agreement.n} prompts; by chance on {percent(found.expected_agreement)}.",
        )
    ]


def _by_random(complied: Estimate | None) -> str:
    return f". With as many random features off: {share_said(complied)}" if complied else ""


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
        answer=f"{_for_all(pooled)} {several(len(pooled.features), 'feature')} chosen on "
        f"{len(pooled.built_on)} prompts were tried on others. The refusal ended on "
        f"{pooled_flips_said(pooled, run.confirmation)}.",
        control="Sets as large of another origin ended refusals of the same prompts, by score: "
        f"{_rivals(run.controls.pooled)}.",
        part=Part.EXTENT,
    )


def _rivals(controls: tuple[SetControl, ...]) -> str:
    by_name = {control.name: control for control in controls}
    return ", ".join(
        f"{label} {share_said(by_name[name].flipped)}"
        for name, label in _RIVALS.items()
        if name in by_name
    )


def _for_all(pooled: PooledSet) -> str:
    """Yes if nearly all other prompts are flipped by score, no if hardly any is; else for some."""
    flipped = pooled.flipped_held_out
    if flipped.low >= 0.5:
        return "Mostly, by score." if flipped.value < 1.0 else "Yes, by score."
    return "No." if flipped.high <= 0.5 else "For some."
