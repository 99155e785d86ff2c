"""The record as data frames, one row a case."""

from collections.abc import Callable
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

import pandas as pd

from sae_audit.findings import DirectionEvaluation, Estimate

if TYPE_CHECKING:
    from sae_audit.record.run import Run


_MINIMAL_COLUMNS = [
    "prompt_id",
    "flipped",
    "certified",
    "size",
    "features",
    "score_clean",
    "score_ablated",
    "score_candidates",
    "n_sets_scored",
    "reason",
    "near_zero",
    "size_by_chance",
]
"""Named, so that a run without minimal sets has them too. The last is the size of the set that the
same search finds among random candidates, 0 where it does not flip the prompt."""
_PAIR_COLUMNS = ["scope", "a", "b", "weight", "low", "high", "kind", "lasso"]
_WAVE_COLUMNS = ["prompt_id", "wave", "features", "score_after", "n_awake"]
_CASCADE_COLUMNS = [
    *("prompt_id", "first_wave", "depth", "score_clean", "score_first", "score_last"),
    *("total_effect", "direct_effect", "direct_effect_frozen", "compensation_ratio", "stop"),
]


def _scores(run: "Run") -> pd.DataFrame:
    return pd.DataFrame([asdict(score) for score in run.scores])


def _saes(run: "Run") -> pd.DataFrame:
    facts = {sae.layer: sae for sae in run.manifest.saes}
    frame = pd.DataFrame(
        [
            {
                "layer": found.layer,
                "release": facts[found.layer].release,
                "id": facts[found.layer].id,
                "width": facts[found.layer].width,
                **_bounds("explained_variance", found.explained_variance),
                **_bounds("explained_variance_without_bos", found.explained_variance_without_bos),
                **_bounds("explained_variance_shuffled", found.explained_variance_shuffled),
                **_bounds("l0", found.l0),
                **_bounds("ce_recovered", found.ce_recovered),
            }
            for found in run.quality
        ]
    )
    # A column of nothing but None would be of objects.
    return frame.astype({name: float for name in frame if str(name).startswith("ce_recovered")})


def _directions(run: "Run") -> pd.DataFrame:
    columns = [field.name for field in fields(DirectionEvaluation)]
    if run.stopped_early:
        tried = run.discarded_directions.evaluations if run.discarded_directions else ()
        frame = pd.DataFrame([asdict(one) for one in tried], columns=columns)
        frame["selected"] = False
        return frame
    frame = pd.DataFrame([asdict(evaluation) for evaluation in run.direction.evaluations])
    chosen = run.direction.selected
    frame["selected"] = (frame.layer == chosen.layer) & (frame.position == chosen.position)
    return frame


def _direction_check(run: "Run") -> pd.DataFrame:
    check = run.direction_check
    if check is None:
        return pd.DataFrame()
    measures = ("bypass", "flipped", "induce", "induced", "answered", "kl", "stability")
    return pd.DataFrame(
        [
            {
                "measure": name,
                **_estimate(getattr(check, name).own),
                "random_mean": getattr(check, name).random.mean,
                "random_lowest": getattr(check, name).random.lowest,
                "random_highest": getattr(check, name).random.highest,
            }
            for name in measures
        ]
    )


def _successive_directions(run: "Run") -> pd.DataFrame:
    found = run.successive_directions
    if found is None:
        return pd.DataFrame()
    return pd.DataFrame(
        [
            {
                "n_out": n_out,
                "layer": one.layer,
                "position": one.position,
                **_bounds("refused", one.refused.own),
                "refused_random": one.refused.random.mean,
                **_bounds("score", one.score.own),
                "score_random": one.score.random.mean,
                **_bounds("answered", one.answered.own),
                "answered_random": one.answered.random.mean,
                **_bounds("kl", one.kl.own),
                "kl_random": one.kl.random.mean,
            }
            for n_out, one in enumerate(found.directions, start=1)
        ]
    )


def _coverage(run: "Run") -> pd.DataFrame:
    found = run.dictionary_coverage
    if found is None:
        return pd.DataFrame()
    return (
        pd.DataFrame(
            [
                {
                    "layer": one.layer,
                    "gap": one.gap.value,
                    "gap_low": one.gap.low,
                    "gap_high": one.gap.high,
                    "in_reconstruction": one.in_reconstruction.value
                    if one.in_reconstruction
                    else None,
                    "low": one.in_reconstruction.low if one.in_reconstruction else None,
                    "high": one.in_reconstruction.high if one.in_reconstruction else None,
                    "random_mean": one.random.mean if one.random else None,
                    "random_lowest": one.random.lowest if one.random else None,
                    "random_highest": one.random.highest if one.random else None,
                }
                for one in found.layers
            ],
            # A column of nothing but None would be of objects.
        )
        .astype(float)
        .astype({"layer": int})
    )


def _bounds(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    """Three columns: the number under its name, and its interval."""
    if estimate is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _estimate(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}


def _candidates(run: "Run") -> pd.DataFrame:
    found = () if run.stopped_early else run.candidates.candidates
    return pd.DataFrame(
        [{"feature": str(c.feature), "cosine": c.cosine} for c in found],
        columns=["feature", "cosine"],
    )


def _minimal_sets(run: "Run") -> pd.DataFrame:
    by_chance = {found.prompt_id: found for found in run.sets_by_chance}
    margin = run.config.evidence.margin
    return pd.DataFrame(
        [
            {
                "prompt_id": found.prompt_id,
                "flipped": found.flipped,
                "certified": found.certified,
                "size": len(found.features),
                "features": " ".join(map(str, found.features)),
                "score_clean": found.score_clean,
                "score_ablated": found.score_ablated,
                "score_candidates": found.score_candidates,
                "n_sets_scored": found.n_sets_scored,
                "reason": found.reason,
                "near_zero": found.score_clean < margin,
                "size_by_chance": len(by_chance[found.prompt_id].features)
                if found.prompt_id in by_chance
                else None,
            }
            for found in run.minimal_sets
        ],
        columns=_MINIMAL_COLUMNS,
    )


def _minimal_set_families(run: "Run") -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "prompt_id": found.prompt_id,
                "set": number,
                "size": len(one.features),
                "features": " ".join(map(str, one.features)),
                "score_ablated": one.score_ablated,
                "certified": one.certified,
                "complete": found.complete,
            }
            for found in run.minimal_set_families
            for number, one in enumerate(found.sets, start=1)
        ]
    )


def _doses(run: "Run") -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "prompt_id": found.prompt_id,
                "ablated": found.ablated,
                "dose": point.dose,
                "score": point.score,
                "smallest_that_flips": point.dose == found.dose,
            }
            for found in run.doses
            for point in found.points
        ]
    )


_FIT_COLUMNS = [
    "scope",
    "n_prompts",
    "n_masks",
    "n_held_out",
    "solver",
    "r2_held_out",
    "r2_held_out_low",
    "r2_held_out_high",
    "gain",
    "gain_low",
    "gain_high",
    "null_weight",
]


def _interaction_fits(run: "Run") -> pd.DataFrame:
    """`gain` is over the linear model; the chance level is of the graph's own solver."""
    return pd.DataFrame(
        [
            {
                "scope": graph.scope,
                "n_prompts": graph.n_prompts,
                "n_masks": graph.n_masks,
                "n_held_out": graph.n_held_out,
                "solver": fit.solver,
                **_bounds("r2_held_out", fit.r2_held_out),
                **_bounds("gain", fit.gain),
                "null_weight": graph.null_weight if fit.solver == graph.solver else None,
            }
            for graph in run.interactions
            for fit in graph.fits
        ],
        columns=_FIT_COLUMNS,
    )


def _pairs_over_prompts(run: "Run") -> pd.DataFrame:
    found = run.interactions_over_prompts
    return pd.DataFrame(
        [
            {
                "a": str(pair.a),
                "b": str(pair.b),
                "n_redundant": pair.n_redundant,
                "n_shared_path": pair.n_shared_path,
                "n_fitted": pair.n_fitted,
                **_bounds("weight", pair.weight),
                "null_weight": pair.null_weight,
            }
            for pair in (found.pairs if found else ())
        ]
    )


def _pairs(run: "Run") -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "scope": graph.scope,
                "a": str(pair.a),
                "b": str(pair.b),
                "weight": pair.weight,
                "low": pair.low,
                "high": pair.high,
                "kind": pair.kind.value,
                "lasso": pair.lasso,
            }
            for graph in run.interactions
            for pair in graph.pairs
        ],
        columns=_PAIR_COLUMNS,
    )


def _triples(run: "Run") -> pd.DataFrame:
    columns = ["scope", "a", "b", "c", "weight", "low", "high", "null_triple"]
    rows = [
        (graph.scope, str(t.a), str(t.b), str(t.c), t.weight, t.low, t.high, graph.null_triple)
        for graph in run.interactions
        for t in graph.triples
    ]
    return pd.DataFrame(rows, columns=columns)


def _waves(run: "Run") -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "prompt_id": found.prompt_id,
                "wave": number,
                "features": " ".join(map(str, wave.features)),
                "score_after": wave.score_after,
                "n_awake": wave.n_awake,
            }
            for found in run.cascades
            for number, wave in enumerate(found.waves, start=1)
        ],
        columns=_WAVE_COLUMNS,
    )


def _cascades(run: "Run") -> pd.DataFrame:
    random = {one.prompt_id: one.cascade for one in run.cascades_by_chance}
    both = (
        (first_wave, found)
        for own in run.cascades
        for first_wave, found in (("minimal_set", own), ("random", random.get(own.prompt_id)))
        if found is not None
    )
    return pd.DataFrame(
        [
            {
                "prompt_id": found.prompt_id,
                "first_wave": first_wave,
                "depth": found.depth,
                "score_clean": found.score_clean,
                "score_first": found.waves[0].score_after,
                "score_last": found.waves[-1].score_after,
                "total_effect": found.effects.total if found.effects else None,
                "direct_effect": found.effects.direct if found.effects else None,
                "direct_effect_frozen": found.effects.direct_frozen if found.effects else None,
                "compensation_ratio": found.compensation_ratio,
                "stop": found.stop,
            }
            for first_wave, found in both
        ],
        columns=_CASCADE_COLUMNS,
    )


def _wake_edges(run: "Run") -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "prompt_id": found.prompt_id,
                "cause": str(edge.cause),
                "feature": str(edge.feature),
                "kind": edge.kind.value,
                "activation": edge.activation,
                "activation_spared": edge.activation_spared,
                "activation_alone": edge.activation_alone,
                "activation_held": edge.activation_held,
                "through": " ".join(map(str, edge.through)),
                "n_controls": edge.n_controls,
                "n_controls_waking": edge.n_controls_waking,
            }
            for found in run.edges
            for edge in found.edges
        ]
    )


def _waking_tokens(run: "Run") -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "prompt_id": found.prompt_id,
                "n_waves": awake.n_waves,
                "token": token.value,
                "n_tokens": found.tokens[token],
                "n_features": awake.peaks_at[token],
                "n_activations": awake.fires_at[token],
                "n_features_clean": found.clean_peaks_at[token],
                "n_activations_clean": found.clean_fires_at[token],
                "n_features_random": awake.random_peaks_at[token],
                "n_random_sets": len(awake.n_random),
            }
            for found in run.waking
            for awake in found.awake
            for token in awake.peaks_at
        ]
    )


def _costs(run: "Run") -> pd.DataFrame:
    return pd.DataFrame([stage.model_dump() for stage in run.manifest.stages])


TABLES: dict[str, Callable[["Run"], pd.DataFrame]] = {
    "scores": _scores,
    "saes": _saes,
    "directions": _directions,
    "direction_check": _direction_check,
    "successive_directions": _successive_directions,
    "coverage": _coverage,
    "candidates": _candidates,
    "minimal_sets": _minimal_sets,
    "minimal_set_families": _minimal_set_families,
    "doses": _doses,
    "interaction_fits": _interaction_fits,
    "pairs": _pairs,
    "pairs_over_prompts": _pairs_over_prompts,
    "triples": _triples,
    "waves": _waves,
    "cascades": _cascades,
    "wake_edges": _wake_edges,
    "waking_tokens": _waking_tokens,
    "costs": _costs,
}
