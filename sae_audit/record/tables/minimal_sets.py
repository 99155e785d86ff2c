"""Tables of minimal sets and of the smallest scales that flip."""

from collections.abc import Sequence

import pandas as pd

from sae_audit.findings import FlipScale, MinimalSet, MinimalSetFamily, NullScores

_MINIMAL_COLUMNS = [
    "prompt_id",
    "flipped",
    "certified",
    "size",
    "features",
    "clean_score",
    "ablated_score",
    "candidates_score",
    "n_sets_scored",
    "reason",
    "near_zero",
    "n_pools_flipping",
]
"""Columns, also of a run without minimal sets. The last is the number of random pools that flip the
prompt if all their features are ablated."""


def minimal_sets(
    own: Sequence[MinimalSet], random: Sequence[NullScores], *, margin: float
) -> pd.DataFrame:
    """One row per refused prompt; it is near zero if its score is below `margin`, nats."""
    null = {found.prompt_id: found for found in random}
    return pd.DataFrame(
        [
            {
                "prompt_id": found.prompt_id,
                "flipped": found.flipped,
                "certified": found.certified,
                "size": len(found.features),
                "features": " ".join(map(str, found.features)),
                "clean_score": found.clean_score,
                "ablated_score": found.ablated_score,
                "candidates_score": found.candidates_score,
                "n_sets_scored": found.n_sets_scored,
                "reason": found.reason,
                "near_zero": found.clean_score < margin,
                "n_pools_flipping": null[found.prompt_id].n_flipping
                if found.prompt_id in null
                else None,
            }
            for found in own
        ],
        columns=_MINIMAL_COLUMNS,
    )


def minimal_set_families(families: Sequence[MinimalSetFamily]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "prompt_id": found.prompt_id,
                "set": number,
                "size": len(one.features),
                "features": " ".join(map(str, one.features)),
                "ablated_score": one.ablated_score,
                "certified": one.certified,
                "complete": found.complete,
            }
            for found in families
            for number, one in enumerate(found.sets, start=1)
        ]
    )


def scales(scales_of: Sequence[FlipScale]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "prompt_id": found.prompt_id,
                "ablated": found.ablated,
                "scale": point.scale,
                "score": point.score,
                "smallest_that_flips": point.scale == found.scale,
            }
            for found in scales_of
            for point in found.points
        ]
    )
