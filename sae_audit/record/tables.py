"""The record as data frames, one row a case."""

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from sae_audit.record.run import Run


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
                "explained_variance": found.explained_variance,
                "explained_variance_without_bos": found.explained_variance_without_bos,
                "l0": found.l0,
                "ce_recovered": found.ce_recovered,
            }
            for found in run.quality
        ]
    )
    # A column of nothing but None would be of objects.
    return frame.astype({"ce_recovered": float})


def _directions(run: "Run") -> pd.DataFrame:
    frame = pd.DataFrame([asdict(evaluation) for evaluation in run.direction.evaluations])
    chosen = run.direction.selected
    frame["selected"] = (frame.layer == chosen.layer) & (frame.position == chosen.position)
    return frame


def _candidates(run: "Run") -> pd.DataFrame:
    return pd.DataFrame(
        [{"feature": str(c.feature), "cosine": c.cosine} for c in run.candidates.candidates]
    )


def _minimal_sets(run: "Run") -> pd.DataFrame:
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
            }
            for found in run.minimal_sets
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
        ]
    )


def _triples(run: "Run") -> pd.DataFrame:
    columns = ["scope", "a", "b", "c", "weight", "low", "high"]
    rows = [
        (graph.scope, str(t.a), str(t.b), str(t.c), t.weight, t.low, t.high)
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
        ]
    )


def _costs(run: "Run") -> pd.DataFrame:
    return pd.DataFrame([stage.model_dump() for stage in run.manifest.stages])


TABLES: dict[str, Callable[["Run"], pd.DataFrame]] = {
    "scores": _scores,
    "saes": _saes,
    "directions": _directions,
    "candidates": _candidates,
    "minimal_sets": _minimal_sets,
    "pairs": _pairs,
    "triples": _triples,
    "waves": _waves,
    "costs": _costs,
}
