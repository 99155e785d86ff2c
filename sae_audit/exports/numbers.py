"""The numbers of a run that other programs plot and compare, by name."""

from collections.abc import Mapping

import numpy as np

from sae_audit.findings import Estimate
from sae_audit.record.run import Run


def numbers(run: Run) -> dict[str, float]:
    """Each estimate under its name, with the ends of its interval under `_low` and `_high`; whether each
    claim stands, 1 or 0, under `claim_` and its subject. What the audit did not measure is left out.
    """
    found: dict[str, float] = {}
    for name, one in estimates(run).items():
        found |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
    sizes = [len(one.features) for one in run.minimal_sets if one.flipped]
    if sizes:
        found["minimal_set_size_median"] = float(np.median(sizes))
    return found | {f"claim_{one.about.value}": float(one.stands) for one in run.claims}


def estimates(run: Run) -> Mapping[str, Estimate]:
    """The main estimates with their intervals, by name."""
    behaviour, check = run.behaviour, run.direction_check
    found: dict[str, Estimate | None] = {
        "refused_harmful": behaviour.refused_harmful,
        "refused_harmless": behaviour.refused_harmless,
        "refused_lookalikes": behaviour.refused_lookalikes,
        "separation_auroc": behaviour.separation,
    }
    if check is not None:
        found |= {
            "direction_flipped": check.flipped.own,
            "direction_bypass_nats": check.bypass.own,
            "direction_induce_nats": check.induce.own,
        }
    if run.search_null is not None:
        found["minimal_sets_flipped"] = run.search_null.flipped
    if run.confirmation is not None:
        found["flips_confirmed_in_text"] = run.confirmation.confirmed
    if run.pooled_set is not None:
        found["pooled_set_flipped_held_out"] = run.pooled_set.flipped_held_out
        found["pooled_set_harmless_kl"] = run.pooled_set.side_effects.kl
    return {name: one for name, one in found.items() if one is not None}
