"""Tables of filtered sets over prompts and of what a factorization machine adds."""

import pandas as pd

from sae_audit.findings import CoactivationFm, FilterCurve
from sae_audit.record.tables.columns import bounds

_CURVE = ["size", "set", "flipped", "flipped_low", "flipped_high", "n"]


def filter_curve(found: FilterCurve | None) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"size": point.size, "set": name, **bounds("flipped", own), "n": own.n}
            for point in (found.points if found else ())
            for name, own in (
                ("filtered", point.filtered),
                ("linear_probe", point.linear_probe),
                ("random_matched", point.random),
            )
            if own is not None
        ],
        columns=_CURVE,
    )


def filtered_sets(found: CoactivationFm | None) -> pd.DataFrame:
    measures = ("flipped", "complied", "score_drop", "kl", "cross_entropy_change")
    columns = [f"{name}{end}" for name in measures for end in ("", "_low", "_high")]
    return pd.DataFrame(
        [
            {
                "set": one.name,
                "n_features": one.n_features,
                "n": one.flipped.n,
                **{
                    key: value
                    for name in measures
                    for key, value in bounds(name, getattr(one, name)).items()
                },
            }
            for one in (found.sets if found else ())
        ],
        columns=["set", "n_features", "n", *columns],
    )
