"""Minimal sets: by prompt, further ones of the same prompts, and one for many prompts."""

from collections.abc import Mapping, Sequence
from typing import Any

from sae_audit.pages.charts import SET_LABELS
from sae_audit.pages.wording import SEARCHES
from sae_audit.record.run import Run
from sae_audit.report.findings.minimal import by_text, counts, figures
from sae_audit.report.findings.minimal.prompts import prompt_rows
from sae_audit.report.findings.minimal.summary import summary_rows
from sae_audit.report.flips import flips_said
from sae_audit.report.marks import histogram, set_points
from sae_audit.report.section import Figures, Section, unless_stopped_early
from sae_audit.statistics import share

_FEATURES = 25
"""Rows of tables and figures of most frequent features."""
_NEAR = 1e-3
"""Nats; batches differ by less than a hundredth of it in float32, by more in bfloat16."""
_ORDERS = {
    "both": "in order of estimated effect and in the candidates' own, the smaller set kept",
    "attribution": "the features of largest estimated effect first",
    "candidates": "in the candidates' own order",
}


def _values(run: Run) -> Mapping[str, Any]:
    n, n_flipped = len(run.minimal_sets), sum(found.flipped for found in run.minimal_sets)
    widened = {prompt_id for prompt_id, pool in run.widened.items() if pool.added}
    return {
        "labels": SET_LABELS,
        "prompts": prompt_rows(run),
        "n_flipped": n_flipped,
        "n_widened": len(widened),
        "n_flipped_widened": sum(
            found.flipped for found in run.minimal_sets if found.prompt_id in widened
        ),
        "n_certified": sum(found.certified for found in run.minimal_sets),
        "flip_rate": share(n_flipped, n) if n else None,
        "flips": flips_said(run) if n else "",
        "search": SEARCHES[run.config.minimal.search],
        "order": _ORDERS[run.config.minimal.order],
        "answers": counts.answer_rows(run.confirmation) if run.confirmation else [],
        "by_text": by_text.text_counts(run),
        "text_rows": by_text.text_rows(run),
        **_null(run),
        **_others(run),
    }


def _null(run: Run) -> Mapping[str, Any]:
    found = run.search_null
    return {
        "pools": counts.pool_rows(found) if found else [],
        "n_near_zero": len(found.near_zero) if found else 0,
    }


def _others(run: Run) -> Mapping[str, Any]:
    return {
        "families": counts.family_counts(run.minimal_set_families),
        "family_features": counts.family_features(run.minimal_set_families, _FEATURES),
        "scales": counts.scale_rows(run.controls.scales),
        "overshot": any(one.ablated == "candidates" for one in run.controls.scales),
    }


def _figures(run: Run) -> Figures:
    found = run.minimal_sets
    if not found:
        return {}
    drawn = {"minimal_scores": figures.scores(found)}
    n_flipped = sum(one.flipped for one in found)
    if n_flipped:
        audited = [sae.layer for sae in run.manifest.saes]
        common = counts.feature_rows(found, _FEATURES)
        drawn["sizes"] = histogram(counts.sizes(found), x="features in the set", y="prompts")
        drawn["minimal_layers"] = figures.by_layer(counts.layers(found, audited))
        drawn["common"] = figures.common_features(common, n_flipped)
    families = counts.family_sizes(run.minimal_set_families)
    if families:
        drawn["family_sizes"] = histogram(families, x="minimal sets found", y="prompts")
    if run.flip_scales:
        drawn["scales"] = figures.scales(run.flip_scales)
    for name, sets in (("per_prompt", run.controls.per_prompt), ("pooled", run.controls.pooled)):
        if sets:
            flipped = [(one.name, one.flipped) for one in sets]
            drawn[name] = set_points(flipped, x="share of prompts flipped", as_share=True)
    return drawn


def _limits(run: Run) -> Sequence[str]:
    return [
        "A minimal set is one of possibly many. Its certificate says that none of its features can "
        "be spared, not that no other or smaller set exists.",
        *_margins(run),
    ]


def _margins(run: Run) -> list[str]:
    """A sentence on how near 0 the scores of certificates come; empty if nothing was flipped."""
    margins = [
        min(abs(score) for score in (found.ablated_score, *found.score_without.values()))
        for found in run.minimal_sets
        if found.flipped
    ]
    if not margins:
        return []
    near = sum(margin < _NEAR for margin in margins)
    return [
        f"Close calls could fall otherwise on another machine. Of {len(margins)} prompts {near} "
        f"are that close (within {_NEAR:g} nats of 0; the nearest {min(margins):.2g})."
    ]


SECTION = Section(
    id="minimal",
    title="Minimal sets",
    shown=unless_stopped_early,
    rows=summary_rows,
    values=_values,
    figures=_figures,
    limits=_limits,
)
