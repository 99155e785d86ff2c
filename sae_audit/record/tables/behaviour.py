"""What the model does, what the SAEs make of it, and what the audit cost."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import pandas as pd

from sae_audit.record.tables.columns import bounds

if TYPE_CHECKING:
    from sae_audit.record.run import Run


def scores(run: "Run") -> pd.DataFrame:
    return pd.DataFrame([asdict(score) for score in run.scores])


def saes(run: "Run") -> pd.DataFrame:
    facts = {sae.layer: sae for sae in run.manifest.saes}
    frame = pd.DataFrame(
        [
            {
                "layer": found.layer,
                "release": facts[found.layer].release,
                "id": facts[found.layer].id,
                "width": facts[found.layer].width,
                **bounds("explained_variance", found.explained_variance),
                **bounds("explained_variance_without_bos", found.explained_variance_without_bos),
                **bounds("explained_variance_shuffled", found.explained_variance_shuffled),
                **bounds("l0", found.l0),
                **bounds("ce_recovered", found.ce_recovered),
            }
            for found in run.quality
        ]
    )
    # A column of nothing but None would be of objects.
    return frame.astype({name: float for name in frame if str(name).startswith("ce_recovered")})


def costs(run: "Run") -> pd.DataFrame:
    return pd.DataFrame([stage.model_dump() for stage in run.manifest.stages])
