"""The table of single features: a row for each that findings name."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from sae_audit.record.feature import FeatureInRun
from sae_audit.record.tables.columns import bounds

_EFFECTS = ("alone", "in_part", "spared", "raised")
_MEASURES = ("turned", "score_change", "turned_random", "score_change_random")
_FIRING = ("fires_harmful", "fires_harmless")


def features(found: Sequence[FeatureInRun]) -> pd.DataFrame:
    """Columns of effects are named `alone_turned`, `alone_turned_low`, ...; NaN where not measured."""
    named = [f"{effect}_{measure}" for effect in _EFFECTS for measure in _MEASURES]
    measured = [f"{name}{end}" for name in (*named, *_FIRING) for end in ("", "_low", "_high")]
    counts = ["n_minimal", "n_families", "n_waves", "n_pairs", "n_edges"]
    columns = ["feature", "rank", *counts, "in_pooled", "cosine", *measured, "verdict"]
    return pd.DataFrame([_row(one, counts) for one in found], columns=columns)


def _row(one: FeatureInRun, counts: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "feature": one.id,
        "rank": one.rank,
        "in_pooled": one.mention is not None and one.mention.in_pooled,
        "cosine": None if one.candidate is None else one.candidate.cosine,
        "verdict": one.verdict,
        **{name: getattr(one.mention, name) for name in counts},
    }
    if one.profile is None:
        return row
    for name in _FIRING:
        row |= bounds(name, getattr(one.profile, name))
    for effect in _EFFECTS:
        found = getattr(one.profile, effect)
        for measure in _MEASURES if found is not None else ():
            own = getattr(found, measure)
            row |= {} if own is None else bounds(f"{effect}_{measure}", own)
    return row
