"""Cosines of category directions against what is known of them: geometry, nulls and groupings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae_audit.direction.category_geometry import (
    centred_matrix,
    cosine_matrix,
    counts_by_categories,
    grouped,
    halves,
    mean_differences,
    off_diagonal,
    p_differ,
    participation_ratio,
    shared_pool,
    split_pools,
    topics,
)

D = 200


def clouds(
    means: np.ndarray, *, n: int = 30, noise: float = 0.02, seed: int = 0
) -> list[np.ndarray]:
    """Residual streams around each mean."""
    draws = np.random.default_rng(seed)
    return [mean + noise * draws.normal(size=(n, D)) for mean in means]


def unrelated(n: int, seed: int = 0) -> np.ndarray:
    """Means at right angles to each other, as far from the origin as from each other."""
    basis, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(D, D)))
    return basis[:n]


def test_unrelated_categories_have_cosines_of_a_half_and_none_of_them_once_centred():
    categories, harmless = clouds(unrelated(6)), clouds(unrelated(7)[-1:])[0]
    shared = mean_differences(categories, harmless)
    # Each is e_i - e_0: of any two the dot product is 1, and their lengths are sqrt(2).
    assert off_diagonal(cosine_matrix(shared)) == pytest.approx(0.5, abs=0.03)
    assert off_diagonal(centred_matrix(shared)) == pytest.approx(-1 / 5, abs=0.01)
    # Disjoint pools do not help: the harmless mean itself is shared, and not its noise.
    assert split_pools(categories, harmless, seed=0) == pytest.approx(0.5, abs=0.03)


def test_noise_of_a_small_shared_pool_makes_directions_alike_and_disjoint_pools_do_not():
    categories = clouds(np.zeros((6, D)), n=400, noise=1.0)
    harmless = clouds(np.zeros((1, D)), n=10, noise=1.0, seed=1)[0]
    assert off_diagonal(cosine_matrix(mean_differences(categories, harmless))) > 0.9
    assert abs(split_pools(categories, harmless, seed=0)) < 0.1


def test_chosen_cosines_come_back():
    chosen = np.array([[1.0, 0.8, 0.1], [0.8, 1.0, 0.3], [0.1, 0.3, 1.0]])
    means = np.linalg.cholesky(chosen) @ unrelated(3)
    harmless = clouds(np.zeros((1, D)), n=200)[0]
    found = shared_pool(clouds(means), harmless, seed=0)
    assert np.array(found.matrix) == pytest.approx(chosen, abs=0.03)
    assert found.mean.low < 0.4 < found.mean.high
    assert found.mean.high - found.mean.low < 0.05
    # The mean is that of the cosines as they are.
    assert found.mean.value == pytest.approx(off_diagonal(np.array(found.matrix)))


def test_the_interval_of_the_mean_cosine_is_as_wide_as_it_varies():
    """Over draws of the prompts; with as few as make unequal groups."""
    found = [
        shared_pool(
            clouds(unrelated(4), n=18, noise=0.05, seed=seed),
            clouds(unrelated(5)[-1:], n=40, noise=0.05, seed=seed + 100)[0],
            seed=seed,
        ).mean
        for seed in range(30)
    ]
    spread = np.std([one.value for one in found])
    half = np.mean([(one.high - one.low) / 2 for one in found])
    assert 1.2 * spread < half < 4.0 * spread


@given(st.integers(2, 8))
def test_the_participation_ratio_lies_between_one_and_the_number(n: int):
    assert participation_ratio(np.ones((n, n))) == pytest.approx(1.0)
    assert participation_ratio(np.eye(n)) == pytest.approx(n)


def test_published_cosines_give_their_two_families_and_dimensions():
    # Gemma-2-9b-it, 2602.02132, the table of eleven categories; silhouette and ratio as recomputed.
    rows = [
        [0.632, 0.234, 0.127, 0.310, 0.663, 0.297, 0.695, 0.734, 0.649, 0.511],
        [0.239, -0.062, 0.203, 0.548, 0.099, 0.609, 0.715, 0.390, 0.427],
        [0.460, 0.678, 0.586, 0.620, 0.417, 0.411, 0.328, 0.474],
        [0.688, 0.550, 0.627, 0.415, 0.402, 0.379, 0.468],
        [0.719, 0.795, 0.560, 0.573, 0.502, 0.666],
        [0.692, 0.876, 0.885, 0.822, 0.811],
        [0.499, 0.480, 0.520, 0.619],
        [0.917, 0.862, 0.746],
        [0.809, 0.795],
        [0.732],
    ]
    matrix = np.eye(11)
    for i, row in enumerate(rows):
        matrix[i, i + 1 :] = matrix[i + 1 :, i] = row
    groups, silhouette = grouped(matrix)
    assert groups == [[0, 1, 5, 7, 8, 9, 10], [2, 3, 4, 6]]
    assert silhouette == pytest.approx(0.449, abs=0.001)
    assert off_diagonal(matrix) == pytest.approx(0.553, abs=0.001)
    assert participation_ratio(matrix) == pytest.approx(2.44, abs=0.01)
    # And unrelated directions with a shared harmless mean would not be far from that: 11 cosines of .5.
    null = np.full((11, 11), 0.5) + 0.5 * np.eye(11)
    assert participation_ratio(null) == pytest.approx(3.14, abs=0.01)


def test_two_blocks_are_two_families_and_equal_cosines_are_none():
    blocks = np.full((6, 6), 0.2)
    blocks[:3, :3] = blocks[3:, 3:] = 0.9
    np.fill_diagonal(blocks, 1.0)
    groups, silhouette = grouped(blocks)
    assert groups == [[0, 1, 2], [3, 4, 5]]
    assert silhouette > 0.8
    assert grouped(np.full((6, 6), 0.5) + 0.5 * np.eye(6))[1] == pytest.approx(0.0, abs=1e-9)
    assert grouped(np.eye(2)) == ([[0, 1]], 0.0)


@pytest.mark.parametrize("noise_over_signal", [0.25, 1.0, 4.0])
def test_independent_halves_have_the_cosine_of_signal_and_noise(noise_over_signal: float):
    n = 2000
    # In squared norm, of means of half of the prompts: both groups have their share of the noise.
    noise = np.sqrt(noise_over_signal / 2 / D * (n / 2))
    found = halves(
        clouds(unrelated(1), n=n, noise=noise)[0],
        clouds(np.zeros((1, D)), n=n, noise=noise, seed=1)[0],
        seed=0,
    )
    assert found.value == pytest.approx(1 / (1 + noise_over_signal), abs=0.06)


def test_dealing_prompts_at_random_is_told_from_categories_that_differ():
    assert p_differ(clouds(unrelated(3)), n=99, seed=0) == pytest.approx(0.01)
    same = [p_differ(clouds(np.zeros((3, D)), seed=i), n=19, seed=0) for i in range(40)]
    assert 0.3 < np.mean(same) < 0.75
    assert min(same) < 0.3


def test_topics_are_of_equal_size_and_apart():
    apart = np.concatenate(clouds(unrelated(4), n=10))
    found = topics(apart, 4)
    assert [len(own) for own in found] == [10] * 4
    assert all(np.ptp(own, axis=0).max() < 0.3 for own in found)
    # Also of prompts with outliers, where clusters would be single prompts.
    outliers = np.random.default_rng(0).standard_t(1.0, size=(101, D))
    sizes = [len(own) for own in topics(outliers, 12)]
    assert (min(sizes), sum(sizes)) == (8, 101)


def test_features_are_counted_by_the_categories_they_fire_for():
    category = np.repeat(np.arange(3), 4)
    fires = np.zeros((12, 5), np.float32)
    fires[:4, 0] = 1.0  # of the first category alone
    fires[:8, 1] = 1.0  # of two
    fires[:, 2] = 1.0  # of all
    fires[:, 3] = 1.0  # of all, and of every harmless prompt
    fires[0, 4] = 1.0  # of a quarter of one: just enough
    harmless = np.array([0.0, 0.0, 0.0, 1.0, 0.0])
    assert counts_by_categories({0: fires}, category, {0: harmless}, least=0.25) == (2, 1, 1)
    assert counts_by_categories({0: fires}, category, {0: harmless}, least=0.26) == (1, 1, 1)
    # Over several layers they add up.
    two = {0: fires, 1: fires[:, :1]}
    assert counts_by_categories(two, category, {0: harmless, 1: harmless[:1]}, least=0.3) == (
        2,
        1,
        1,
    )
