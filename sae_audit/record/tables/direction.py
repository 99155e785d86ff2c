"""Tables of the refusal direction, successive directions, and the SAEs' coverage of it."""

from collections.abc import Mapping
from dataclasses import asdict
from math import nan
from typing import Any

import pandas as pd

from sae_audit.findings import (
    CandidateSet,
    Direction,
    DirectionCheck,
    DirectionEvaluation,
    LayerPatching,
    NoDirection,
    SaeCoverage,
    SuccessiveDirections,
)
from sae_audit.record.tables.columns import bounds, estimate_columns, finite

_COLUMNS = ("position", "layer", "bypass", "induce", "kl")
_ASKED = {"bypass": "n_bypass", "induce": "n_induce", "kl": "n_kl"}


def directions(found: Direction | NoDirection | None) -> pd.DataFrame:
    """One row per candidate. `n_*`: prompts measured; numbers only if those are all prompts.

    The last columns are further measures of the method of selection.
    """
    n_harmful, n_harmless = found.n_validation if found else (0, 0)
    n_asked = {"bypass": n_harmful, "induce": n_harmless, "kl": n_harmless}
    rows = [_in_full(one, n_asked) for one in (found.evaluations if found else ())]
    rows += [
        {**asdict(one), **dict.fromkeys(_ASKED, nan), "stopped": str(one.reason), "failed": ""}
        for one in (found.stopped if found else ())
    ]
    frame = pd.DataFrame(rows, columns=[*_COLUMNS, *_ASKED.values(), "stopped", "failed"])
    frame = frame.astype(dict.fromkeys(_ASKED, float))
    measured = (
        {(one.layer, one.position): one.measures for one in found.evaluations} if found else {}
    )
    pairs = list(zip(frame.layer, frame.position, strict=True))
    chosen = found.selected if isinstance(found, Direction) else None
    frame["selected"] = [
        chosen is not None and pair == (chosen.layer, chosen.position) for pair in pairs
    ]
    for name in (one.name for one in found.selection.measures) if found else ():
        if name not in frame:
            frame[name] = [measured.get(pair, {}).get(name, nan) for pair in pairs]
    return frame.sort_values(["layer", "position"], ignore_index=True)


def _in_full(one: DirectionEvaluation, n_asked: Mapping[str, int]) -> dict[str, Any]:
    asked = {
        column: n_asked[name] if one.measure(name) is not None else 0
        for name, column in _ASKED.items()
    }
    numbers = {name: getattr(one, name) for name in _COLUMNS}
    return {**numbers, **asked, "stopped": "", "failed": ", ".join(one.failed)}


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


def patched_layers(found: LayerPatching | None) -> pd.DataFrame:
    if found is None:
        return pd.DataFrame()
    return pd.DataFrame(
        [
            {
                "layer": one.layer,
                **bounds("refused", one.refused),
                **bounds("answered", one.answered),
                **bounds("written", one.written),
                **bounds("own_mean", one.own_mean),
            }
            for one in found.layers
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


def coverage(found: SaeCoverage | None) -> pd.DataFrame:
    if found is None:
        return pd.DataFrame()
    return (
        pd.DataFrame(
            [
                {
                    "layer": one.layer,
                    "gap": one.gap.value,
                    "gap_low": finite(one.gap.low),
                    "gap_high": finite(one.gap.high),
                    "in_reconstruction": one.in_reconstruction.value
                    if one.in_reconstruction
                    else None,
                    "low": finite(one.in_reconstruction.low) if one.in_reconstruction else None,
                    "high": finite(one.in_reconstruction.high) if one.in_reconstruction else None,
                    "random_mean": one.random.mean if one.random else None,
                    "random_lowest": one.random.lowest if one.random else None,
                    "random_highest": one.random.highest if one.random else None,
                }
                for one in found.layers
            ],
            # A column of None alone would have the type object.
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
