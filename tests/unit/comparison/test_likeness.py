"""Whether a prompt's two sets are more alike than others: the null, its level, what it finds."""

import numpy as np
import pytest

from sae_audit.comparison.likeness import beyond_shuffled, jaccard


def drawn(draws: np.random.Generator, n: int) -> list[frozenset[int]]:
    """Sets from few features, some of which most prompts share."""
    weights = draws.dirichlet([0.5] * 6)
    sizes = draws.integers(1, 4, n)
    # Gumbel noise on log weights: draws without replacement in these weights.
    keys = np.log(weights + 1e-9) + draws.gumbel(size=(n, 6))
    return [
        frozenset(np.argsort(-own)[:size].tolist()) for own, size in zip(keys, sizes, strict=True)
    ]


def overlaps(a: list[frozenset[int]], b: list[frozenset[int]]) -> np.ndarray:
    return np.array([[jaccard(one, other) for other in b] for one in a])


@pytest.mark.parametrize("n", [10, 20])
def test_sets_that_belong_to_no_prompt_are_called_alike_in_five_in_a_hundred(n: int):
    """200 pairs of runs whose rows all share the same sets: 10 expected, 17 or fewer in 99%."""
    draws = np.random.default_rng(n)
    called, held = 0, 0
    for seed in range(200):
        found, p_value = beyond_shuffled(overlaps(drawn(draws, n), drawn(draws, n)), seed=seed)
        called += p_value <= 0.05
        held += found.low <= 0.0 <= found.high
    assert called <= 17
    assert held >= 180, "the interval holds the truth, 0"


def test_sets_that_go_with_the_prompt_are_found():
    draws = np.random.default_rng(0)
    own = drawn(draws, 20)
    found, p_value = beyond_shuffled(overlaps(own, own), seed=0)
    assert p_value < 0.01
    assert found.low > 0.0


def test_the_difference_is_that_of_own_and_other_overlaps():
    table = np.random.default_rng(0).random((6, 6))
    others = [table[i, [j for j in range(6) if j != i]].mean() for i in range(6)]
    found, _ = beyond_shuffled(table, seed=0)
    assert found.value == pytest.approx(np.diag(table).mean() - np.mean(others))
    assert (found.n, found.method) == (6, "jackknife 95%, 6 groups")


def test_four_prompts_have_no_interval():
    found, p_value = beyond_shuffled(np.eye(4), seed=0)
    assert found.method.startswith("none: fewer than 5")
    assert p_value == pytest.approx(1 / 24, abs=0.02)
