"""Flips at equal KL, clamp by clamp: counted by hand, and on a model with dense features."""

import numpy as np
import pytest

from benchmarks.clamps import (
    BUDGETS,
    NO_BUDGET,
    Flips,
    difference,
    flips_of,
    over_models,
    raised_audit,
)
from sae_audit.bench.cases import Case, planted_audit
from sae_audit.vocabulary import FeatureId

CHEAP, DEAR = frozenset({FeatureId(0, 1), FeatureId(0, 2)}), frozenset({FeatureId(0, 3)})


def flips(**costs: list[float]) -> Flips:
    """By prompt, the KL of its sets, the first of them of one feature and the others of two."""
    return Flips(
        found={
            prompt: tuple(zip([DEAR, CHEAP][: len(kl)], kl, strict=True))
            for prompt, kl in costs.items()
        }
    )


def test_a_prompt_is_flipped_by_any_set_within_the_budget():
    found = flips(a=[2.0, 0.01], b=[0.5], c=[])
    assert found.at(0.001) == {"a": False, "b": False, "c": False}
    assert found.at(0.01) == {"a": True, "b": False, "c": False}
    assert found.at(NO_BUDGET) == {"a": True, "b": True, "c": False}
    assert found.median_cost == pytest.approx((0.01 + 0.5) / 2)
    assert found.median_size == 1.5
    assert np.isnan(flips(a=[]).median_cost), "no set has no cost"


def test_a_difference_counts_prompts_that_one_clamp_flips_and_the_other_does_not():
    first = flips(a=[0.01], b=[0.5], c=[0.01])
    second = flips(a=[0.5], b=[0.01], c=[0.02], d=[0.01])
    with pytest.raises(KeyError):
        difference(first, second, 0.1)
    second = flips(a=[0.5], b=[0.01], c=[0.02])
    assert difference(first, second, 0.1).value == 0.0
    assert difference(first, second, 0.01).value == pytest.approx(-1 / 3)
    assert difference(first, first, 0.01).value == 0.0, "a clamp is no better than itself"
    same = over_models([(first, second)] * 5, 0.01)
    assert (same.value, same.n) == (pytest.approx(-1 / 3), 5)


def test_at_its_harmless_mean_a_carrier_of_the_stream_flips_nothing():
    """At 0 it does (`test_dense`)."""
    case = Case(family="dense", size=3, seed=1, architecture="llama")
    with planted_audit(case, n_prompts=4, clamp="harmless_mean") as audit:
        found = flips_of(audit.state)
        (mechanism,) = audit.planted.truth.by_category["harm"].minimal_sets
    assert all(found.at(BUDGETS[0]).values())
    sets = {features for own in found.found.values() for features, _ in own}
    assert sets == {frozenset(mechanism)}


@pytest.mark.parametrize("clamp", [0.0, "harmless_mean"])
def test_refusal_by_how_much_a_dense_feature_fires_is_found_at_its_harmless_mean(
    clamp: str | float,
):
    with raised_audit(0)(clamp) as state:
        found = flips_of(state)
    assert len(found.found) == 4
    assert all(found.at(NO_BUDGET).values()), "at 0 by breaking the model"
    assert set(found.at(BUDGETS[-1]).values()) == {clamp == "harmless_mean"}
