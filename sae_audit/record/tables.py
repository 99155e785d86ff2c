"""The record as data frames, one row a case."""

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import pandas as pd

from sae_audit.findings import Estimate

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


def _direction_check(run: "Run") -> pd.DataFrame:
    check = run.direction_check
    if check is None:
        return pd.DataFrame()
    measures = ("bypass", "flipped", "induce", "induced", "kl")
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


def _estimate(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}


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
    "direction_check": _direction_check,
    "coverage": _coverage,
    "candidates": _candidates,
    "minimal_sets": _minimal_sets,
    "minimal_set_families": _minimal_set_families,
    "doses": _doses,
    "pairs": _pairs,
    "waves": _waves,
    "costs": _costs,
}
