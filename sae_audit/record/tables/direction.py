"""The refusal direction, those behind it, and what the SAEs show of it."""

from dataclasses import asdict, fields
from math import nan

import pandas as pd

from sae_audit.findings import (
    CandidateSet,
    DictionaryCoverage,
    Direction,
    DirectionCheck,
    DirectionEvaluation,
    NoDirection,
    SuccessiveDirections,
)
from sae_audit.record.tables.columns import bounds, estimate_columns


def directions(found: Direction | NoDirection | None) -> pd.DataFrame:
    """All that were tried. `n_*`: prompts asked; numbers are of those asked on all of them alone."""
    columns = [field.name for field in fields(DirectionEvaluation)]
    full = [asdict(one) for one in found.evaluations] if found else []
    frame = pd.DataFrame(full, columns=columns)
    n_harmful, n_harmless = found.n_validation if found else (0, 0)
    frame = frame.assign(n_bypass=n_harmful, n_induce=n_harmless, n_kl=n_harmless, stopped="")
    if found and found.stopped:
        others = pd.DataFrame(
            [{**asdict(one), "stopped": str(one.reason)} for one in found.stopped]
        ).assign(bypass=nan, induce=nan, kl=nan)
        frame = pd.concat([frame, others[frame.columns]], ignore_index=True)
    frame = frame.sort_values(["layer", "position"], ignore_index=True)
    frame["selected"] = False
    if isinstance(found, Direction):
        chosen = found.selected
        frame["selected"] = (frame.layer == chosen.layer) & (frame.position == chosen.position)
    return frame


def direction_check(check: DirectionCheck | None) -> pd.DataFrame:
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


def successive_directions(found: SuccessiveDirections | None) -> pd.DataFrame:
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


def coverage(found: DictionaryCoverage | None) -> pd.DataFrame:
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


def candidates(found: CandidateSet | None) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"feature": str(c.feature), "cosine": c.cosine}
            for c in (found.candidates if found else ())
        ],
        columns=["feature", "cosine"],
    )
