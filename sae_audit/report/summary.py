"""What an audit found, in plain words: the head of the report, and the command's last table."""

from collections import Counter
from statistics import median

from sae_audit.findings import DirectionCheck, InteractionGraph, SaeQuality, SetControl
from sae_audit.pages.wording import interval, nats, of, percent
from sae_audit.record.run import Run
from sae_audit.report.summary_depth import dose_rows, family_rows
from sae_audit.report.summary_row import SummaryRow
from sae_audit.report.tables_coverage import coverage_control, coverage_sentence
from sae_audit.report.tables_interactions import kind_counts, pooled_graph, prompt_graphs
from sae_audit.report.tables_quality import least_recovered
from sae_audit.statistics import share

_RIVALS = {
    "random_matched": "matched random ones",
    "linear_probe": "a linear probe's",
    "top_cosine": "the nearest by cosine",
}


def summary(run: Run) -> list[SummaryRow]:
    """One row per question, each answer beside its control."""
    return [
        _refusal(run),
        _direction(run),
        _minimal_sets(run),
        *family_rows(run),
        *dose_rows(run),
        *_confirmation(run),
        *_coverage(run),
        _pooled(run),
        _interactions(run),
        _cascades(run),
        _collateral(run),
        _dictionaries(run),
    ]


def _refusal(run: Run) -> SummaryRow:
    prompts = run.findings.prompts
    return SummaryRow(
        question="Does the model refuse?",
        answer=f"It refuses {_counted(prompts.refused_harmful, prompts.harmful)} harmful prompts.",
        control=f"It also refuses {_counted(prompts.refused_harmless, prompts.harmless)} harmless "
        "ones.",
    )


def _direction(run: Run) -> SummaryRow:
    found, chosen = run.direction, run.direction.selected
    if run.direction_check is not None:
        return _checked(run, run.direction_check)
    works = chosen.bypass < 0.0 < found.clean_harmful
    return SummaryRow(
        question="Does one direction carry refusal?",
        answer=f"{'Yes' if works else 'Not fully'}: layer {chosen.layer}, position "
        f"{chosen.position}. Projecting it out takes the mean score of harmful prompts from "
        f"{found.clean_harmful:+.2f} to {chosen.bypass:+.2f} nats; adding it takes harmless ones "
        f"from {found.clean_harmless:+.2f} to {chosen.induce:+.2f} (means over "
        f"{found.n_validation[0]} and {found.n_validation[1]} validation prompts).",
        control=f"Projecting it out of harmless prompts costs KL {chosen.kl:.3f} nats (limit "
        f"{run.config.direction.kl_limit:g}). It is the best of {len(found.evaluations)} directions, "
        "chosen on these same validation prompts.",
    )


def _checked(run: Run, check: DirectionCheck) -> SummaryRow:
    chosen, harmless = run.direction.selected, check.induce
    works = check.bypass.own.high < 0.0 < check.clean_harmful.low
    return SummaryRow(
        question="Does one direction carry refusal?",
        answer=f"{'Yes' if works else 'Not fully'}: layer {chosen.layer}, position "
        f"{chosen.position}. On audit prompts, projecting it out takes the mean score of harmful ones "
        f"from {interval(check.clean_harmful, nats)} to {interval(check.bypass.own, nats)} nats and "
        f"flips {interval(check.flipped.own, percent)} of {check.flipped.own.n}; adding it takes "
        f"harmless ones from {interval(check.clean_harmless, nats)} to "
        f"{interval(harmless.own, nats)}. Resampled, its cosine with itself is "
        f"{interval(check.stability)}.",
        control=f"{check.bypass.random.n} random directions of its norm flip "
        f"{percent(check.flipped.random.mean)} (at most {percent(check.flipped.random.highest)}), and "
        f"take harmless prompts to {nats(harmless.random.mean)} (at most "
        f"{nats(harmless.random.highest)}). Projecting it out of harmless prompts costs KL "
        f"{interval(check.kl.own)} nats; random ones {check.kl.random.mean:.3f}.",
    )


def _coverage(run: Run) -> list[SummaryRow]:
    found = run.dictionary_coverage
    if found is None:
        return []
    return [
        SummaryRow(
            question="How much of the mechanism do the SAEs not show?",
            answer=coverage_sentence(found),
            control=coverage_control(found),
        )
    ]


def _minimal_sets(run: Run) -> SummaryRow:
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
    sizes = sorted(len(found.features) for found in flipped)
    certified = sum(found.certified for found in flipped)
    rate = share(len(flipped), n)
    return SummaryRow(
        question=question,
        answer=f"Median {median(sizes):g} ({sizes[0]} to {sizes[-1]}) of {pool} candidates: such "
        f"sets flip {of(len(flipped), n)} refused prompts ({interval(rate, percent)}), and "
        f"{certified} of them are certified minimal.",
        control=f"Equally large sets flip, of the same prompts: {_rivals(run.controls.per_prompt)}.",
    )


def _confirmation(run: Run) -> list[SummaryRow]:
    found = run.confirmation
    if found is None or found.confirmed is None:
        return []
    return [
        SummaryRow(
            question="Does the text of the answer flip too?",
            answer=f"The judge ({found.judge}) calls {interval(found.confirmed, percent)} of "
            f"{found.confirmed.n} answers under ablation compliance.",
            control=f"Of the same prompts' unablated answers it calls "
            f"{interval(found.complied_clean, percent)} so. Score and judge agree on "
            f"{interval(found.agreement, percent)} of {found.agreement.n} answers.",
        )
    ]


def _pooled(run: Run) -> SummaryRow:
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


def _interactions(run: Run) -> SummaryRow:
    question = "Do features interact?"
    pooled = pooled_graph(run.interactions)
    prompts = [graph for graph in prompt_graphs(run.interactions) if graph.pairs]
    by_prompt = f"Prompt by prompt ({len(prompts)} fits): {_kinds(prompts)}." if prompts else ""
    if pooled is not None and pooled.pairs:
        where = "held-out ablations" if pooled.n_held_out else "all ablations, exactly"
        return SummaryRow(
            question=question,
            answer=f"On the mean score over several prompts: {_kinds([pooled])}. {by_prompt}",
            control=f"With pairs, R² on {where} is {pooled.r2_held_out:.3f}; without, "
            f"{pooled.r2_linear:.3f}. A pair counts only beyond chance "
            f"({pooled.null_weight:.2f} nats) and where a second solver agrees.",
        )
    if not prompts:
        return SummaryRow(question=question, answer="No fit was possible.", control="None.")
    r2, linear = (median(v) for v in zip(*map(_r_squared, prompts), strict=True))
    return SummaryRow(
        question=question,
        answer=by_prompt,
        control=f"With pairs, the median R² is {r2:.3f}; without, {linear:.3f}.",
    )


def _cascades(run: Run) -> SummaryRow:
    question, n = "Are there hidden backups?", len(run.cascades)
    if not n:
        return SummaryRow(
            question=question, answer="Not followed: no prompt was flipped.", control="None."
        )
    depths = Counter(found.depth for found in run.cascades)
    deeper = sum(count for depth, count in depths.items() if depth > 1)
    counted = ", ".join(f"{count} at depth {depth}" for depth, count in sorted(depths.items()))
    ratios = [c.compensation_ratio for c in run.cascades if c.compensation_ratio is not None]
    stated = (
        f"The median compensation ratio is {median(ratios):+.2f} ({min(ratios):+.2f} to "
        f"{max(ratios):+.2f}) over {len(ratios)} prompts. 0: nothing covers; 1: all of the effect "
        "is undone; negative: what wakes adds to it."
        if ratios
        else "No compensation ratio could be stated."
    )
    return SummaryRow(
        question=question,
        answer=f"Dormant features wake and join in on {_counted(deeper, n)} flipped prompts: "
        f"{counted}.",
        control=stated,
    )


def _collateral(run: Run) -> SummaryRow:
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


def _dictionaries(run: Run) -> SummaryRow:
    worst = min(run.quality, key=lambda one: one.explained_variance)
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
        answer="The lowest explained variance on these prompts is "
        f"{worst.explained_variance:.3f} (layer {worst.layer}, of {len(run.quality)} audited), "
        f"{_recovered(run.quality)}.",
        control=stated,
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
    return f"the lowest cross-entropy recovered {value:.3f} (layer {layer}{beside})"


def _counted(n: int, total: int) -> str:
    """`39 of 40 (98% [87%, 100%])`, or the bare count where there is no case."""
    return f"{of(n, total)} ({interval(share(n, total), percent)})" if total else of(n, total)


def _kinds(graphs: list[InteractionGraph]) -> str:
    counts = kind_counts(graphs)
    named = {kind.value.replace("_", " "): n for kind, n in counts.items()}
    return (
        f"of {sum(named.values())} pairs {named['redundant']} redundant, "
        f"{named['shared path']} on a shared path"
    )


def _r_squared(graph: InteractionGraph) -> tuple[float, float]:
    return graph.r2_held_out, graph.r2_linear


def _rivals(controls: tuple[SetControl, ...]) -> str:
    by_name = {control.name: control for control in controls}
    return ", ".join(
        f"{label} {interval(by_name[name].flipped, percent)}"
        for name, label in _RIVALS.items()
        if name in by_name
    )
