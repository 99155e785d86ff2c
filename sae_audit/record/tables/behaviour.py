"""Tables of clean scores, SAE quality and the audit's cost."""

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from sae_audit.findings import PromptScore, SaeQuality
from sae_audit.record.facts import SaeFacts, StageFacts
from sae_audit.record.tables.columns import bounds


def scores(found: Sequence[PromptScore]) -> pd.DataFrame:
    return pd.DataFrame([asdict(score) for score in found])


def saes(quality: Sequence[SaeQuality], used: Sequence[SaeFacts]) -> pd.DataFrame:
    facts = {sae.layer: sae for sae in used}
    frame = pd.DataFrame(
        [
            {
                "layer": found.layer,
                "release": facts[found.layer].release,
                "id": facts[found.layer].id,
                "width": facts[found.layer].width,
                **bounds("explained_variance", found.explained_variance),
                **bounds("explained_variance_without_bos", found.explained_variance_without_bos),
                **bounds("explained_variance_rotated", found.explained_variance_rotated),
                **bounds("l0", found.l0),
                **bounds("ce_recovered", found.ce_recovered),
                **bounds("ce_recovered_rotated", found.ce_recovered_rotated),
            }
            for found in quality
        ]
    )
    # A column of None alone would have the type object.
    return frame.astype({name: float for name in frame if str(name).startswith("ce_recovered")})


def costs(stages: Sequence[StageFacts]) -> pd.DataFrame:
    return pd.DataFrame([stage.model_dump() for stage in stages])
