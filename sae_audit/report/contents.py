"""The values that the page's templates name, section by section."""

from collections import Counter
from typing import Any

from sae_audit.findings import CE_PROMPTS, CE_TOKENS, PairKind
from sae_audit.pages.charts import SET_LABELS
from sae_audit.pages.wording import ABSENCES
from sae_audit.record.run import Run
from sae_audit.report.card import ORDERS, SEARCHES, deviations, setting, token_source
from sae_audit.report.figures_interactions import SOLVERS
from sae_audit.report.tables_behaviour import refusal_rows, split_rows
from sae_audit.report.tables_cascade import (
    FEWEST,
    RAISED_NAMES,
    TOKEN_NAMES,
    first_wave_rows,
    most_frequent,
    waking_features,
    wave_rows,
)
from sae_audit.report.tables_chance import search_rows
from sae_audit.report.tables_confirmation import answer_rows
from sae_audit.report.tables_coverage import coverage_sentence, share_rows
from sae_audit.report.tables_depth import family_counts, family_features
from sae_audit.report.tables_direction import (
    checked_rows,
    judged_directions,
    out_rows,
    stopped_rows,
    tried_directions,
)
from sae_audit.report.tables_interactions import (
    CLASSIFIERS,
    clear_pairs,
    kind_counts,
    naming_sentence,
    recurring_pairs,
)
from sae_audit.report.tables_quality import recovered, sae_sources, tokens_firing
from sae_audit.statistics import share

_ROWS = 25
"""Of tables that name the most frequent things."""
_ROWS_A_WAVE = 10


def contents(run: Run) -> dict[str, Any]:
    return {
        "labels": SET_LABELS,
        "absences": ABSENCES,
        "solvers": SOLVERS,
        **_card(run),
        **_behaviour(run),
        **_direction(run),
        **_coverage(run),
        **_chance(run),
        **_minimal(run),
        **_depth(run),
        **_interactions(run),
        **_cascades(run),
    }


def _card(run: Run) -> dict[str, Any]:
    return {
        "deviations": deviations(run.config),
        "setting": setting,
        "token_source": token_source(run.manifest.refusal_tokens.source),
        "splits": split_rows(run.scores),
        "n_means": run.absence.n_train if run.stopped_early and run.absence else None,
        "recovered": recovered,
        "tokens_firing": tokens_firing,
        "sae_sources": sae_sources(run.manifest.saes),
        "ce_prompts": CE_PROMPTS,
        "ce_tokens": CE_TOKENS,
    }


def _behaviour(run: Run) -> dict[str, Any]:
    return {
        "refusals": refusal_rows(run.scores),
        "has_categories": any(score.category for score in run.scores),
        "categories": {score.prompt_id: score.category or "(none)" for score in run.scores},
    }


def _direction(run: Run) -> dict[str, Any]:
    found = tried_directions(run)
    if found is None:
        return {}
    judged = judged_directions(found.evaluations, run.config.direction, run.manifest.model.n_layers)
    passing = sum(not one.discarded for one in judged)
    counts = Counter(name for one in judged for name in one.failed)
    return {
        "tried": found,
        "judged": judged,
        "checked": checked_rows(run.direction_check) if run.direction_check else [],
        "out": out_rows(run.successive_directions) if run.successive_directions else [],
        "n_passing": passing,
        "filter_counts": dict(counts.most_common()),
        "stopped": stopped_rows(found),
        "stop_counts": dict(Counter(row.reason for row in stopped_rows(found)).most_common()),
    }


def _coverage(run: Run) -> dict[str, Any]:
    found = run.dictionary_coverage
    return {
        "coverage_rows": share_rows(found) if found else [],
        "coverage_sentence": coverage_sentence(found) if found else "",
    }


def _chance(run: Run) -> dict[str, Any]:
    found = run.chance_control
    return {
        "searches_by_chance": search_rows(found, seed=run.config.seed) if found else [],
        "near_zero": set(found.near_zero) if found else set(),
        "sets_by_chance": {one.prompt_id: len(one.features) for one in run.sets_by_chance},
    }


def _minimal(run: Run) -> dict[str, Any]:
    n, n_flipped = len(run.minimal_sets), sum(found.flipped for found in run.minimal_sets)
    widened = {prompt_id for prompt_id, pool in run.widened.items() if pool.added}
    return {
        "n_flipped": n_flipped,
        "n_widened": len(widened),
        "n_flipped_widened": sum(
            found.flipped for found in run.minimal_sets if found.prompt_id in widened
        ),
        "n_certified": sum(found.certified for found in run.minimal_sets),
        "flip_rate": share(n_flipped, n) if n else None,
        "searches": SEARCHES,
        "orders": ORDERS,
        "answers": answer_rows(run.confirmation) if run.confirmation else [],
    }


def _depth(run: Run) -> dict[str, Any]:
    return {
        "families": family_counts(run.minimal_set_families, seed=run.config.seed),
        "family_features": family_features(run.minimal_set_families, _ROWS),
        "family_of": {found.prompt_id: found for found in run.minimal_set_families},
        "dose_of": {found.prompt_id: found for found in run.doses},
        "dose_labels": {
            "minimal_set": "flipped prompts, own minimal set",
            "candidates": "prompts not flipped, all candidates overshot",
        },
    }


def _interactions(run: Run) -> dict[str, Any]:
    pooled, prompts, over = run.pooled_graph, run.prompt_graphs, run.interactions_over_prompts
    return {
        "pooled_graph": pooled,
        "pooled_kinds": _counted(kind_counts([pooled] if pooled else [])),
        "classifiers": CLASSIFIERS,
        "clear_pairs": clear_pairs(pooled, over) if pooled else [],
        "prompt_kinds": _counted(kind_counts(prompts)),
        "over_prompts": over,
        "naming": naming_sentence(over) if over else "",
        "recurring": recurring_pairs(over, _ROWS),
        "fits": [(graph, kind_counts([graph])) for graph in run.interactions],
        "n_fitted": sum(bool(graph.fits) for graph in prompts),
        "n_exact": sum(graph.solver == "exact" for graph in prompts),
        "n_unfitted": sum(not graph.pairs for graph in prompts),
    }


def _cascades(run: Run) -> dict[str, Any]:
    pooled, seed = run.pooled_cascade, run.config.seed
    return {
        "waves": wave_rows(run.cascades, seed=seed),
        "first_waves": first_wave_rows(pooled) if pooled else [],
        "waking": waking_features(run.cascades, _ROWS, seed=seed),
        "fewest_for_median": FEWEST,
        "n_without_effect": sum(found.effects is None for found in run.cascades),
        "n_without_ratio": sum(found.compensation_ratio is None for found in run.cascades),
        "frozen_reasons": sorted({c.frozen_reason for c in run.cascades if c.frozen_reason}),
        **_cascade_depth(run),
    }


def _cascade_depth(run: Run) -> dict[str, Any]:
    pooled = run.pooled_cascade
    n_tested = sum(found.n_pairs_tested for found in run.edges)
    return {
        "wave_features": most_frequent(pooled.features, _ROWS_A_WAVE) if pooled else [],
        "pooled_edges": pooled.edges[:_ROWS] if pooled else [],
        "pooled_edges_limit": _ROWS,
        "n_edges": sum(len(found.edges) for found in run.edges),
        "n_pairs_tested": n_tested,
        "n_no_edge": n_tested - sum(len(found.edges) for found in run.edges),
        "token_names": TOKEN_NAMES,
        "raised_names": RAISED_NAMES,
    }


def _counted(counts: dict[PairKind, int]) -> str:
    named = ", ".join(f"{n} {kind.value.replace('_', ' ')}" for kind, n in counts.items())
    return f"Of {sum(counts.values())} pairs: {named}"
