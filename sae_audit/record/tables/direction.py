"""The refusal direction, those behind it, and what the SAEs show of it."""

from dataclasses import asdict, fields
from typing import TYPE_CHECKING

import pandas as pd

from sae_audit.findings import DirectionEvaluation
from sae_audit.record.tables.columns import bounds, estimate_columns

if TYPE_CHECKING:
    from sae_audit.record.run import Run


def directions(run: "Run") -> pd.DataFrame:
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


def direction_check(run: "Run") -> pd.DataFrame:
    check = run.direction_check
    if check is None:
        return pd.DataFrame()
    measures = ("bypass", "flipped", "induce", "induced", "answered", "kl", "stability")
    return pd.DataFrame(
        [
            {
                "measure": name,
                **estimate_columns(getattr(check, name).own),
                "random_mean": getattr(check, name).random.mean,
                "random_lowest": getattr(check, name).random.lowest,
                "random_highest": getattr(check, name).random.highest,
            }
            for name in measures
        ]
    )


def successive_directions(run: "Run") -> pd.DataFrame:
    found = run.successive_directions
    if found is None:
        return pd.DataFrame()
    return pd.DataFrame(
        [
            {
                "n_out": n_out,
                "layer": one.layer,
                "position": one.position,
                **bounds("refused", one.refused.own),
                "refused_random": one.refused.random.mean,
                **bounds("score", one.score.own),
                "score_random": one.score.random.mean,
                **bounds("answered", one.answered.own),
                "answered_random": one.answered.random.mean,
                **bounds("kl", one.kl.own),
                "kl_random": one.kl.random.mean,
            }
            for n_out, one in enumerate(found.directions, start=1)
        ]
    )


def coverage(run: "Run") -> pd.DataFrame:
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


def candidates(run: "Run") -> pd.DataFrame:
    found = () if run.stopped_early else run.candidates.candidates
    return pd.DataFrame(
        [{"feature": str(c.feature), "cosine": c.cosine} for c in found],
        columns=["feature", "cosine"],
    )
