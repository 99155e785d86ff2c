"""Single prompts' fits together: means, medians and chance levels worked by hand."""

from dataclasses import replace

import pytest

from sae_audit.findings import InteractionGraph, PairInteraction, PairKind, SolverFit
from sae_audit.interactions.over_prompts import over_prompts
from tests.synthetic.findings import A, B, C, estimate, graph


def pair(a, b, weight: float, kind: PairKind) -> PairInteraction:
    return PairInteraction(
        a=a,
        b=b,
        weight=weight,
        low=0.0,
        high=0.0,
        kind=kind,
        lasso=weight,
        beyond_curve=weight,
        curve_low=0.0,
        curve_high=0.0,
    )


def of(scope: str, *pairs: PairInteraction, null: float = 0.3, r2: float = 0.9) -> InteractionGraph:
    fits = tuple(
        SolverFit(
            solver=name,
            coding="zero_one",
            rank=0,
            l2=0.0,
            r2_held_out=estimate(value),
            gain=None if name == "linear" else estimate(value - 0.5),
        )
        for name, value in (("linear", 0.5), ("walsh", r2))
    )
    return replace(graph(scope), pairs=pairs, fits=fits, null_weight=null)


AB = [pair(A, B, weight, PairKind.REDUNDANT) for weight in (-1.0, -2.0, -4.0)]
AC = pair(A, C, 0.1, PairKind.UNCLEAR)


def test_a_pair_has_its_median_over_prompts_beside_that_of_their_chance_levels():
    graphs = [
        of("p0", AB[0], AC, null=0.2),
        of("p1", AB[1], null=0.3),
        of("p2", replace(AB[2], kind=PairKind.UNCLEAR), null=0.9),
        of("p3", AC, null=5.0),
    ]
    found = over_prompts(graphs, None, n_shuffles=20)
    (row,) = found.pairs
    assert (row.a, row.b) == (A, B)
    assert (row.n_redundant, row.n_shared_path, row.n_fitted) == (2, 0, 3)
    assert row.weight is not None
    assert (row.weight.value, row.weight.n) == (-2.0, 3)
    assert not row.weight.has_interval, "three prompts are too few for one"
    assert row.null_weight == 0.3, "of the three fits that hold the pair"
    assert found.naming is not None
    assert (found.naming.value, found.naming.n) == (0.5, 4)
    assert found.naming_under_null == pytest.approx(1 / 21)
    assert found.predicting is not None
    assert (found.predicting.value, found.predicting.n) == (1.0, 4)


def test_a_pair_of_the_pooled_fit_is_listed_however_few_prompts_hold_it():
    pooled = of("pooled", AB[0], pair(B, C, 1.0, PairKind.SHARED_PATH), AC)
    found = over_prompts([of("p0", AB[1])], pooled, n_shuffles=20)
    rows = {(row.a, row.b): row for row in found.pairs}
    assert {pair: row.n_fitted for pair, row in rows.items()} == {(A, B): 1, (B, C): 0}
    assert rows[A, B].weight is None, "one prompt has no interval"
    assert rows[B, C].null_weight is None
    assert found.fits == ()


def test_gains_are_taken_prompt_by_prompt():
    graphs = [of("p0", AC, r2=0.7), of("p1", AC, r2=0.9)]
    best, linear = over_prompts(graphs, None, n_shuffles=9).fits
    assert (best.solver, linear.solver) == ("walsh", "linear")
    assert best.gain is not None
    assert best.gain.value == pytest.approx(0.3)
    assert not best.gain.low > 0.0, "two prompts exclude nothing"
    assert (linear.gain, linear.r2_held_out.value) == (None, 0.5)


def test_prompts_without_a_fit_are_no_cases():
    empty = replace(of("p0"), fits=(), null_weight=None)
    found = over_prompts([empty], None, n_shuffles=20)
    assert (found.naming, found.pairs, found.fits) == (None, (), ())
    assert (found.predicting, found.curve, found.pairs_over_curve) == (None, None, None)
