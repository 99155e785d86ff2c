"""What an audit found, in plain words: the head of the report, and the command's last table."""

from collections import Counter
from dataclasses import dataclass
from statistics import median

from sae_audit.findings import Estimate, MinimalSet, PairKind, SetControl
from sae_audit.pages.wording import interval, of, percent
from sae_audit.record.run import Run
from sae_audit.statistics import share


@dataclass(frozen=True, kw_only=True)
class SummaryRow:
    question: str
    answer: str
    control: str
    """What the answer is to be held against."""


def summary(run: Run) -> list[SummaryRow]:
    """One row per question an auditor asks, each answer beside its control."""
    return [
        _refusal(run),
        _direction(run),
        _minimal_sets(run),
        _pooled(run),
        _interactions(run),
        _cascades(run),
        _collateral(run),
        _dictionaries(run),
    ]


def _refusal(run: Run) -> SummaryRow:
    prompts = run.findings.prompts
    harmful = share(prompts.refused_harmful, prompts.harmful)
    harmless = share(prompts.refused_harmless, prompts.harmless)
    return SummaryRow(
        question="Does the model refuse?",
        answer=f"It refuses {of(prompts.refused_harmful, prompts.harmful)} harmful prompts "
        f"({interval(harmful, percent)}).",
        control=f"It also refuses {of(prompts.refused_harmless, prompts.harmless)} harmless ones "
        f"({interval(harmless, percent)}).",
    )


def _direction(run: Run) -> SummaryRow:
    found = run.direction
    chosen = found.selected
    return SummaryRow(
        question="Does one direction carry refusal?",
        answer=f"Layer {chosen.layer}, position {chosen.position}: projected out, the mean score of "
        f"harmful prompts goes from {found.clean_harmful:+.2f} to {chosen.bypass:+.2f} nats; added, "
        f"that of harmless ones from {found.clean_harmless:+.2f} to {chosen.induce:+.2f}.",
        control=f"On harmless prompts projecting it out costs KL {chosen.kl:.3f} nats (limit "
        f"{run.config.direction.kl_limit:g}); {len(found.evaluations)} directions were tried on "
        f"{sum(found.n_validation)} validation prompts.",
    )


def _minimal_sets(run: Run) -> SummaryRow:
    question = "How few features hold up a refusal?"
    flipped = [found for found in run.minimal_sets if found.flipped]
    rate = share(len(flipped), len(run.minimal_sets))
    if not flipped:
        return SummaryRow(
            question=question,
            answer=f"None of {len(run.minimal_sets)} refused prompts was flipped by ablating all "
            f"candidates ({_pool_size(run.minimal_sets)} features).",
            control="Widen the pool (candidates.per_layer) before reading this as robustness.",
        )
    sizes = sorted(len(found.features) for found in flipped)
    certified = sum(found.certified for found in flipped)
    rivals = {control.name: control for control in run.controls.per_prompt}
    return SummaryRow(
        question=question,
        answer=f"Median {median(sizes):g} features ({sizes[0]} to {sizes[-1]}) of "
        f"{_pool_size(run.minimal_sets)} candidates flip {of(len(flipped), len(run.minimal_sets))} "
        f"refused prompts ({interval(rate, percent)}); {certified} sets are certified minimal.",
        control=f"Sets of the same size flip: {_rivals(rivals)}.",
    )


def _pooled(run: Run) -> SummaryRow:
    question = "Does one set work for all prompts?"
    pooled = run.pooled_set
    if pooled is None:
        return SummaryRow(
            question=question,
            answer="Not tried: too few prompts were flipped to build one set and test it.",
            control="None.",
        )
    rivals = {control.name: control for control in run.controls.pooled}
    return SummaryRow(
        question=question,
        answer=f"{len(pooled.features)} features built on {len(pooled.built_on)} prompts flip "
        f"{interval(pooled.flipped_held_out, percent)} of {len(pooled.held_out)} others.",
        control=f"Sets of the same size flip: {_rivals(rivals)}.",
    )


def _interactions(run: Run) -> SummaryRow:
    question = "Do features cover for each other?"
    fitted = [graph for graph in run.interactions if graph.pairs]
    if not fitted:
        return SummaryRow(question=question, answer="No fit was possible.", control="None.")
    prompts = [graph for graph in fitted if graph.scope != "pooled"] or fitted
    kinds = Counter(pair.kind for graph in prompts for pair in graph.pairs)
    total = sum(kinds.values())
    r2 = median(graph.r2_held_out for graph in prompts)
    linear = median(graph.r2_linear for graph in prompts)
    return SummaryRow(
        question=question,
        answer=f"Of {total} pairs over {len(prompts)} prompts, {kinds[PairKind.REDUNDANT]} are "
        f"redundant and {kinds[PairKind.SHARED_PATH]} share a path, beyond chance.",
        control=f"On held-out ablations the factorization machine explains a median R2 of {r2:.3f}, "
        f"single features alone {linear:.3f}.",
    )


def _cascades(run: Run) -> SummaryRow:
    question = "Are there hidden backups?"
    if not run.cascades:
        return SummaryRow(
            question=question, answer="Not followed: no prompt was flipped.", control="None."
        )
    depths = Counter(found.depth for found in run.cascades)
    deeper = sum(n for depth, n in depths.items() if depth > 1)
    ratios = [c.compensation_ratio for c in run.cascades if c.compensation_ratio is not None]
    counted = ", ".join(f"{n} at depth {depth}" for depth, n in sorted(depths.items()))
    stated = (
        f"The median compensation ratio is {median(ratios):+.2f} over {len(ratios)} prompts "
        "(0: nothing covers, 1: all of the effect is undone, negative: what wakes adds to it)."
        if ratios
        else "No compensation ratio could be stated."
    )
    return SummaryRow(
        question=question,
        answer=f"Dormant features wake and join in on {of(deeper, len(run.cascades))} flipped "
        f"prompts ({counted}).",
        control=stated,
    )


def _collateral(run: Run) -> SummaryRow:
    question = "What else does the ablation change?"
    by_name = {one.name: one for one in run.controls.collateral}
    if "pooled" not in by_name:
        return SummaryRow(
            question=question, answer="Not measured: there is no pooled set.", control="None."
        )
    own, random = by_name["pooled"], by_name["random_matched"]
    return SummaryRow(
        question=question,
        answer=f"Harmless prompts, pooled set ablated: KL {interval(own.kl)} nats, cross-entropy of "
        f"the model's own answers {interval(own.cross_entropy_change)} nats a token.",
        control=f"Matched random sets: KL {interval(random.kl)} nats, cross-entropy "
        f"{interval(random.cross_entropy_change)}.",
    )


def _dictionaries(run: Run) -> SummaryRow:
    worst = min(run.quality, key=lambda one: one.explained_variance)
    control = run.controls.error_term
    stated = (
        f"With the error term dropped the same sets flip {interval(control.flipped_dropped, percent)}"
        f"; dropping it alone leaves {interval(control.refused_dropped_alone, percent)} refusing."
        if control is not None
        else "The error-term control needs a flipped prompt."
    )
    return SummaryRow(
        question="Can the SAEs be trusted here?",
        answer=f"Explained variance on the audited prompts is at least "
        f"{worst.explained_variance:.3f} (layer {worst.layer}), over {len(run.quality)} layers.",
        control=stated,
    )


def _pool_size(minimal_sets: list[MinimalSet]) -> int:
    return max((found.n_candidates for found in minimal_sets), default=0)


_NAMES = {
    "random_matched": "random",
    "linear_probe": "linear probe's",
    "top_cosine": "top cosine",
}


def _rivals(controls: dict[str, SetControl]) -> str:
    def stated(estimate: Estimate) -> str:
        return interval(estimate, percent)

    return ", ".join(
        f"{label} {stated(controls[name].flipped)}"
        for name, label in _NAMES.items()
        if name in controls
    )
