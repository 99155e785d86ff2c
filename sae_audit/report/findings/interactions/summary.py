"""Summary row on pairs of features: whether any was named, which kinds, and what names one by chance."""

from collections.abc import Sequence

from sae_audit.findings import (
    ClaimAbout,
    Estimate,
    InteractionGraph,
    InteractionsOverPrompts,
    PairKind,
)
from sae_audit.pages.wording import between, share_said
from sae_audit.record.run import Run
from sae_audit.report.findings.interactions.counts import kind_counts, r2_over_prompts
from sae_audit.report.section import Part, SummaryRow
from sae_audit.report.verdict.behaviour import claim
from sae_audit.report.verdict.standing import seen_if_true


def summary_rows(run: Run) -> Sequence[SummaryRow]:
    pooled, prompts = run.pooled_graph, [graph for graph in run.prompt_graphs if graph.pairs]
    answers = [_verdict(run, run.interactions_over_prompts)]
    controls: list[str] = []
    if prompts:
        answers.append(f"Prompt by prompt, {_kinds(prompts)}.")
        controls += _over_prompts(run)
    if pooled is not None and pooled.pairs:
        several = pooled.n_prompts != 1
        over = f"Averaged over {pooled.n_prompts} prompts" if several else "On one prompt"
        answers.append(f"{over}, {_kinds([pooled])}.")
        controls += _pooled(pooled)
    return [
        SummaryRow(
            question="Do features interact?",
            answer=" ".join(one for one in answers if one),
            control=" ".join(controls) or "None.",
            part=Part.EXTENT,
        )
    ]


def _verdict(run: Run, found: InteractionsOverPrompts | None) -> str:
    if found is None or found.naming is None:
        exact = any(graph.pairs for graph in run.interactions)
        return (
            "Not tested: every set was scored, and weights were computed rather than fitted."
            if exact
            else "Not known: no fit was possible."
        )
    of = claim(run, ClaimAbout.PAIRS)
    chance = found.naming_under_null * found.naming.n
    said = (
        f"A pair was named on {share_said(found.naming, 'prompts')}; chance would name one on about "
        f"{chance:.0f}."
    )
    if of is not None and of.stands:
        return f"Yes. {said}"
    return f"None shown. {said} {seen_if_true(run, ClaimAbout.PAIRS)}".rstrip()


def _kinds(graphs: Sequence[InteractionGraph]) -> str:
    """`35 of 4,800 pairs act through one path and 4 cover for each other`."""
    counts = kind_counts(graphs)
    total, path = sum(counts.values()), counts[PairKind.SHARED_PATH]
    cover = counts[PairKind.REDUNDANT]
    return (
        f"{path or 'none'} of {total:,} pairs act{'s' if path < 2 else ''} through one path and "
        f"{cover or 'none'} cover{'s' if cover < 2 else ''} for {'the' if cover < 2 else 'each'} other"
    )


def _over_prompts(run: Run) -> list[str]:
    """How much better pairs predict, prompt by prompt; empty if too few were fitted."""
    found = run.interactions_over_prompts
    r2 = r2_over_prompts(found, run.config.interactions.solver) if found is not None else None
    if found is None or r2 is None:
        return []
    said = [
        f"Single features predict what other sets do with a mean R² of {_two(r2['linear'])}.",
        f"With pairs it rises by {_two(r2['gain'])}.",
    ]
    if found.curve is not None and found.pairs_over_curve is not None:
        said.append(
            "That scores level off explains a part: one curve over single features reaches "
            f"{_two(found.curve)}, and pairs add {_two(found.pairs_over_curve)} to it."
        )
    said.append(
        "A pair is named only beyond chance, beyond that curve, and if a second fit agrees."
    )
    return said


def _pooled(graph: InteractionGraph) -> list[str]:
    unnamed = [graph.why_unnamed] if graph.why_unnamed else []
    if graph.explained is not None:
        return [
            "On the average every set was scored, and nothing was fitted: pairs explain "
            f"{graph.explained.pairs:z.2f} of what varies, single features "
            f"{graph.explained.linear:z.2f}, one curve over them {graph.explained.curve:z.2f}.",
            *unnamed,
        ]
    assert graph.r2 is not None, "a fit without its R2"
    return [f"On the average of prompts pairs raise R² by {_two(graph.r2.gain)}.", *unnamed]


def _two(found: Estimate) -> str:
    return between(found, "{:z.2f}".format)
