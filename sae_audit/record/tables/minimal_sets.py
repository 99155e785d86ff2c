"""Minimal sets and the doses that flip."""

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from sae_audit.record.run import Run


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
    "size_by_chance",
]
"""Named, so that a run without minimal sets has them too. The last is the size of the set that the
same search finds among random candidates, 0 where it does not flip the prompt."""


def minimal_sets(run: "Run") -> pd.DataFrame:
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
                "clean_score": found.clean_score,
                "ablated_score": found.ablated_score,
                "candidates_score": found.candidates_score,
                "n_sets_scored": found.n_sets_scored,
                "reason": found.reason,
                "near_zero": found.clean_score < margin,
                "size_by_chance": len(by_chance[found.prompt_id].features)
                if found.prompt_id in by_chance
                else None,
            }
            for found in run.minimal_sets
        ],
        columns=_MINIMAL_COLUMNS,
    )


def minimal_set_families(run: "Run") -> pd.DataFrame:
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
            for found in run.minimal_set_families
            for number, one in enumerate(found.sets, start=1)
        ]
    )


def doses(run: "Run") -> pd.DataFrame:
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
