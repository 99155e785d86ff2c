"""The factorization machine on co-activations: a planted pair, and labels that say nothing."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae_audit.controls.filtering import flips_of, rank_p_value
from sae_audit.errors import AuditError
from sae_audit.interactions.coactivation import Examples, Machine, MachineSolver, Trained, trained
from sae_audit.vocabulary import FeatureSet
from tests.games import features, needs

N_FEATURES = 40
POOL = features(N_FEATURES)
FILTERED: FeatureSet = frozenset(POOL[:3])
A, B = POOL[5], POOL[17]
SOLVERS: list[MachineSolver] = ["fm_bayes", "fm_als"]


def prompts(n: int, seed: int, *, linear: bool = False) -> Examples:
    """Refused if A and B both fire or neither does: neither alone says anything. `linear`: if A does."""
    random = np.random.default_rng(seed)
    fires = random.random((n, N_FEATURES)) < 0.5
    alike = fires[:, A.index] == fires[:, B.index]
    return Examples(
        activations=fires * (1.0 + random.random((n, N_FEATURES))),
        refused=fires[:, A.index] if linear else alike,
    )


def permuted(one: Examples, seed: int) -> Examples:
    return replace(one, refused=np.random.default_rng(seed).permutation(one.refused))


def machine_of(train: Examples, solver: MachineSolver = "fm_bayes", n: int = 9) -> Trained:
    return trained(train, prompts(80, 99), POOL, FILTERED, solver=solver, n_permutations=n, seed=0)


@pytest.fixture(scope="module", params=SOLVERS)
def found(request: pytest.FixtureRequest) -> Trained:
    return machine_of(prompts(300, 1), request.param)


def test_the_planted_pair_is_the_strongest_and_both_are_ranked_first(found: Trained):
    first, *_ = found.pairs()
    assert {first.a, first.b} == {A, B}
    assert first.weight > 3.0 * found.null_weight
    assert set(found.ranking[:2]) == {A, B}
    assert {one.feature: one.partner for one in found.added(2)} == {A: B, B: A}


def test_a_model_without_pairs_does_not_see_it(found: Trained):
    assert not {A, B} & set(found.linear_ranking[:2])
    fits = {one.solver: one for one in found.fits(2)}
    assert list(fits) in (["fm_bayes", "fm_als", "linear"], ["fm_als", "fm_bayes", "linear"])
    assert fits["linear"].r2.value < 0.1
    assert fits["linear"].gain is None
    assert fits["linear"].agreement == 0.0
    for solver in SOLVERS:
        assert (gain := fits[solver].gain) is not None
        assert gain.low > 0.3
        assert fits[solver].agreement == 1.0


def test_no_pair_is_seen_where_one_feature_decides():
    """The same features, and a label that needs no pair: the gain over the linear model is none."""
    train = prompts(300, 2, linear=True)
    found = trained(
        train,
        prompts(80, 98, linear=True),
        POOL,
        FILTERED,
        solver="fm_bayes",
        n_permutations=3,
        seed=0,
    )
    assert found.ranking[0] == found.linear_ranking[0] == A
    machine, *_, linear = found.fits(1)
    assert machine.gain is not None
    assert machine.gain.low <= 0.0 or machine.gain.value < 0.05
    assert linear.r2.value > 0.8


def test_features_that_are_filtered_or_never_vary_are_not_ranked():
    train = prompts(120, 3)
    train.activations[:, 7] = 0.0
    train.activations[:, 8] = 2.5
    found = machine_of(train, n=2)
    ranked = {*found.linear_ranking, *found.permuted_rankings[0]}
    assert set(found.ranking) <= ranked == set(POOL) - FILTERED - {POOL[7], POOL[8]}
    assert {*FILTERED} < set(found.features)
    assert len(found.permuted_rankings) == 2


class TestPermutedLabels:
    """The null: labels that say nothing of the activations."""

    @pytest.mark.slow
    def test_their_pairs_are_not_beyond_those_of_other_permutations(self):
        beyond = 0
        for seed in range(6):
            found = machine_of(permuted(prompts(60, seed), seed), n=19)
            beyond += abs(found.pairs()[0].weight) > found.null_weight
        assert beyond <= 1

    @pytest.mark.slow
    def test_what_they_add_flips_no_more_than_random_features_and_true_labels_do(self):
        """Prompts that flip once A and B are ablated with the filtered set."""
        scores = {f"p{i}": needs(*FILTERED, A, B) for i in range(8)}
        others = sorted(set(POOL) - FILTERED)

        def flipped(added: list) -> float:
            return float(flips_of(scores, [FILTERED.union(added)]).mean())

        by_permuted, by_random, p_values = [], [], []
        for seed in range(8):
            null = machine_of(permuted(prompts(60, seed), seed))
            by_permuted.append(flipped(null.ranking[:4]))
            random = np.random.default_rng(seed).permutation(len(others))[:4]
            by_random.append(flipped([others[i] for i in random]))
            sets = [FILTERED.union(one[:4]) for one in null.permuted_rankings]
            p_values.append(rank_p_value(scores, FILTERED.union(null.ranking[:4]), sets))
        assert np.mean(by_permuted) <= np.mean(by_random) + 0.1
        assert sum(one <= 0.1 for one in p_values) <= 1

        true = machine_of(prompts(300, 1))
        sets = [FILTERED.union(one[:4]) for one in true.permuted_rankings]
        assert flipped(true.ranking[:4]) == 1.0
        assert rank_p_value(scores, FILTERED.union(true.ranking[:4]), sets) == 0.1


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 6))
def test_a_contribution_is_what_the_prediction_loses_without_the_feature(seed: int, n: int):
    random = np.random.default_rng(seed)
    weights = random.normal(size=(n, n))
    pairs = weights + weights.T
    np.fill_diagonal(pairs, 0.0)
    machine = Machine(rank=2, l2=0.0, intercept=0.5, main=random.normal(size=n), pairs=pairs)
    x, mean, deviation = random.random((5, n)), random.random(n), 0.5 + random.random(n)
    z = (x - mean) / deviation
    found = machine.contributions(z, x / deviation)
    for i in range(n):
        silent = x.copy()
        silent[:, i] = 0.0
        fall = machine.predict(z) - machine.predict((silent - mean) / deviation)
        assert found[i] == pytest.approx(fall.mean())


def test_labels_of_one_kind_are_our_mistake_and_leave_no_fit_to_test():
    train = prompts(40, 5)
    with pytest.raises(AssertionError, match="no training prompt is refused"):
        machine_of(replace(train, refused=np.zeros(40, dtype=bool)))
    with pytest.raises(AssertionError, match="every training prompt"):
        machine_of(replace(train, refused=np.ones(40, dtype=bool)))
    alike = replace(prompts(20, 6), refused=np.ones(20, dtype=bool))
    found = trained(train, alike, POOL, FILTERED, solver="fm_bayes", n_permutations=1, seed=0)
    assert found.fits(1) == ()


def test_fastfm_is_left_out_if_it_is_missing_unless_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setitem(sys.modules, "fastFM.als", None)
    found = machine_of(prompts(60, 4), n=1)
    assert [one.solver for one in found.fits(1)] == ["fm_bayes", "linear"]
    with pytest.raises(AuditError, match="fastFM is not installed"):
        machine_of(prompts(60, 4), "fm_als", n=1)
