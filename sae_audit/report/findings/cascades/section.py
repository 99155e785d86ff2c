"""Dormant features that activate once others are ablated; whether they are backups, and sufficient."""

from collections.abc import Mapping
from typing import Any

from sae_audit.record.run import Run
from sae_audit.report.findings.cascades import counts, figures
from sae_audit.report.findings.cascades.counts import (
    EDGES,
    FEWEST,
    RAISED_NAMES,
    TOKEN_NAMES,
    direction_added,
    dormant_features,
    edges_sentence,
    first_wave_rows,
    most_frequent,
    needed,
    one_by_one,
    wave_rows,
)
from sae_audit.report.findings.cascades.summary import summary_rows
from sae_audit.report.marks import histogram
from sae_audit.report.section import Figures, Section, unless_stopped_early

_FEATURES = 25
_FEATURES_A_WAVE = 10
_EDGES = 25
"""Rows of the tables of most frequent features."""


def _values(run: Run) -> Mapping[str, Any]:
    pooled = run.pooled_cascade
    return {
        "waves": wave_rows(run.cascades),
        "necessity": needed(pooled.necessity) if pooled else "",
        "one_by_one": one_by_one(pooled.restoration) if pooled and pooled.restoration else "",
        "restored": {one.prompt_id: one.restored for one in run.restorations},
        "first_waves": first_wave_rows(pooled) if pooled else [],
        "activated": dormant_features(run.cascades, _FEATURES),
        "fewest_for_median": FEWEST,
        "n_without_effect": sum(found.effects is None for found in run.cascades),
        "n_without_ratio": sum(found.compensation_ratio is None for found in run.cascades),
        "frozen_reasons": sorted({c.frozen_reason for c in run.cascades if c.frozen_reason}),
        **_edges(run),
    }


def _edges(run: Run) -> Mapping[str, Any]:
    pooled = run.pooled_cascade
    n_tested = sum(found.n_pairs_tested for found in run.edges)
    n_edges = sum(len(found.edges) for found in run.edges)
    return {
        "wave_features": most_frequent(pooled.features, _FEATURES_A_WAVE) if pooled else [],
        "pooled_edges": pooled.edges[:_EDGES] if pooled else [],
        "pooled_edges_limit": _EDGES,
        "n_edges": n_edges,
        "n_pairs_tested": n_tested,
        "edges_sentence": edges_sentence(pooled, n_tested, n_edges) if pooled and n_edges else "",
        "token_names": TOKEN_NAMES,
        "edges": EDGES,
        "raised_names": RAISED_NAMES,
        "direction_added": direction_added(run.direction_check) if run.direction_check else "",
    }


def _figures(run: Run) -> Figures:
    found = run.cascades
    if not found:
        return {}
    audited = sorted({sae.layer for sae in run.manifest.saes})
    drawn = {
        "cascade_scores": figures.scores(found),
        "depths": histogram(counts.depths(found), x="waves", y="prompts"),
        "wave_layers": figures.layers(counts.layers_by_wave(found), audited),
    }
    if any(one.effects is not None for one in found):
        random = [one.cascade for one in run.cascade_nulls if one.cascade is not None]
        drawn["compensation"] = figures.compensation(found, random)
    if run.pooled_cascade is not None and run.pooled_cascade.tokens:
        drawn["activation_tokens"] = figures.activation_tokens(run.pooled_cascade.tokens)
    return drawn


SECTION = Section(
    id="cascades",
    title="Cascades",
    shown=unless_stopped_early,
    rows=summary_rows,
    values=_values,
    figures=_figures,
)
