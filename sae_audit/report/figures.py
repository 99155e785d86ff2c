"""Every figure of the page by name; those the record has nothing for are left out."""

import plotly.graph_objects as go

from sae_audit.findings import Controls
from sae_audit.record.run import Run
from sae_audit.report import (
    figures_behaviour,
    figures_cascade,
    figures_coverage,
    figures_depth,
    figures_direction,
    figures_interactions,
    figures_minimal,
    tables_cascade,
    tables_depth,
    tables_minimal,
)
from sae_audit.report.marks import histogram, set_points
from sae_audit.report.tables_behaviour import refusal_rows
from sae_audit.report.tables_direction import judged_directions, tried_directions

Figures = dict[str, go.Figure]
_COMMON = 25
_DROP = "fall of the refusal score (nats)"


def figures(run: Run) -> Figures:
    return {
        "clean_scores": figures_behaviour.clean_scores(run.scores),
        "refusal_rates": figures_behaviour.refusal_rates(refusal_rows(run.scores)),
        **_direction(run),
        **({} if run.stopped_early else {"cosines": _cosines(run)}),
        **({} if run.stopped_early else _coverage(run)),
        **_minimal(run),
        **_depth(run),
        **_interactions(run),
        **_cascades(run),
        **_controls(run.controls),
    }


def _cosines(run: Run) -> go.Figure:
    found = run.dictionary_coverage
    return figures_direction.cosines(run.candidates, found.layers if found else ())


def _direction(run: Run) -> Figures:
    found = tried_directions(run)
    if found is None:
        return {}
    judged = judged_directions(found.evaluations, run.config.direction, run.manifest.model.n_layers)
    return {
        name: figures_direction.measured(found, judged, name) for name in figures_direction.MEASURES
    }


def _coverage(run: Run) -> Figures:
    found = run.dictionary_coverage
    if found is None:
        return {}
    return {
        "coverage_scores": figures_coverage.conditions(found),
        "coverage_layers": figures_coverage.by_layer(found.layers),
    }


def _minimal(run: Run) -> Figures:
    found = run.minimal_sets
    if not found:
        return {}
    drawn = {"minimal_scores": figures_minimal.scores(found)}
    n_flipped = sum(one.flipped for one in found)
    if n_flipped:
        audited = [sae.layer for sae in run.manifest.saes]
        common = tables_minimal.feature_rows(found, _COMMON)
        drawn["sizes"] = histogram(
            tables_minimal.sizes(found), x="features in the set", y="prompts"
        )
        drawn["minimal_layers"] = figures_minimal.by_layer(tables_minimal.layers(found, audited))
        drawn["common"] = figures_minimal.common_features(common, n_flipped)
    return drawn


def _depth(run: Run) -> Figures:
    drawn: Figures = {}
    sizes = tables_depth.family_sizes(run.minimal_set_families)
    if sizes:
        drawn["family_sizes"] = histogram(sizes, x="minimal sets found", y="prompts")
    if run.doses:
        drawn["doses"] = figures_depth.doses(run.doses)
    return drawn


def _interactions(run: Run) -> Figures:
    drawn: Figures = {}
    pooled = run.pooled_graph
    if pooled is not None and pooled.pairs:
        drawn["pairs"] = figures_interactions.pair_weights(pooled)
    if any(graph.fits for graph in run.interactions):
        drawn["r_squared"] = figures_interactions.r_squared(run.interactions)
    return drawn


def _cascades(run: Run) -> Figures:
    found = run.cascades
    if not found:
        return {}
    audited = sorted({sae.layer for sae in run.manifest.saes})
    drawn = {
        "cascade_scores": figures_cascade.scores(found),
        "depths": histogram(tables_cascade.depths(found), x="waves", y="prompts"),
        "wave_layers": figures_cascade.layers(tables_cascade.layers_by_wave(found), audited),
    }
    if any(one.effects is not None for one in found):
        random = [one.cascade for one in run.cascades_by_chance if one.cascade is not None]
        drawn["compensation"] = figures_cascade.compensation(found, random)
    if run.pooled_cascade is not None and run.pooled_cascade.tokens:
        drawn["waking_tokens"] = figures_cascade.waking_tokens(run.pooled_cascade.tokens)
    return drawn


def _controls(controls: Controls) -> Figures:
    drawn: Figures = {}
    for name, sets in (("per_prompt", controls.per_prompt), ("pooled", controls.pooled)):
        if sets:
            flipped = [(one.name, one.flipped) for one in sets]
            drops = [(one.name, one.score_drop) for one in sets]
            drawn[name] = set_points(flipped, x="share of prompts flipped", as_share=True)
            drawn[f"{name}_drop"] = set_points(drops, x=_DROP, as_share=False)
    if controls.collateral:
        kl = [(one.name, one.kl) for one in controls.collateral]
        change = [(one.name, one.cross_entropy_change) for one in controls.collateral]
        drawn["collateral_kl"] = set_points(kl, x="KL (nats)", as_share=False)
        drawn["collateral_ce"] = set_points(change, x="nats a token", as_share=False)
    if controls.error_term is not None:
        rows = [
            ("flipped, error kept", controls.error_term.flipped_kept),
            ("flipped, error frozen", controls.error_term.flipped_frozen),
            ("flipped, error dropped", controls.error_term.flipped_dropped),
            ("refused, error dropped, no ablation", controls.error_term.refused_dropped_alone),
        ]
        drawn["error_term"] = set_points(rows, x="share of flipped prompts", as_share=True)
    return drawn
