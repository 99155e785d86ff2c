"""Candidates against whole pools of random features: the level of that test, and of a sign test."""

import numpy as np
import pytest
from jaxtyping import Bool, Float

from sae_audit.controls.search_null import (
    N_SEARCHED,
    absence_of_flips,
    against_null,
    tied_pools,
)
from sae_audit.findings import AbsenceKind, MinimalSet, NullScores, SearchNull, WidenedPool
from sae_audit.statistics import rank_p_value, sign_test_p_value
from sae_audit.vocabulary import FeatureId
from tests.synthetic.findings import minimal


def own_sets(sizes: list[int]) -> list[MinimalSet]:
    return [
        minimal(f"p{i}", *(FeatureId(0, j) for j in range(size))) for i, size in enumerate(sizes)
    ]


def control(
    own: list[int],
    pools: list[list[int]],
    sizes: dict[int, list[int]] | None = None,
    *,
    widened: int = 0,
    margin: float = 0.5,
) -> SearchNull:
    """Of prompts whose own sets have these sizes, 0 not flipped, the first `widened` of them only by a
    wider pool; and of pools that flip the prompts marked 1."""
    ids = [f"p{i}" for i in range(len(own))]
    before = [size if i >= widened else 0 for i, size in enumerate(own)]
    candidates = [
        WidenedPool(prompt_id=name, added=(), scores=(-1.0 if flips else 1.0,))
        for name, flips in zip(ids, before, strict=True)
    ]
    null = [
        NullScores(prompt_id=name, scores=tuple(-1.0 if pool[i] else 1.0 for pool in pools))
        for i, name in enumerate(ids)
    ]
    return against_null(own_sets(own), candidates, null, sizes or {}, margin=margin)


class TestControl:
    def test_pools_count_by_the_prompts_they_flip(self):
        found = control([1, 2, 3, 0], [[0] * 4, [1, 0, 0, 0], [1, 1, 1, 1]])
        assert found.n_flipped_by_pools == (0, 1, 4)
        assert found.null_values == (0.0, 1.0, 4.0)
        assert found.statistic == 3.0 + 1 / 3, "a median of 1, 2, 3 and none: the larger middle one"
        assert (found.p_value, found.smallest_p) == (2 / 4, 1 / 4)
        assert (found.flipped.value, found.flipped_by_candidates.value) == (3 / 4, 3 / 4)
        assert found.sizes == (1, 2, 3)

    def test_of_pools_that_flip_as_many_the_smaller_sets_win_and_ties_count_against(self):
        pools = [[1] * 4] * 3
        sizes = {0: [3] * 4, 1: [2] * 4, 2: [1] * 4}
        found = control([2] * 4, pools, sizes)
        assert (found.statistic, found.null_values) == (4.5, (4 + 1 / 3, 4.5, 5.0))
        assert (found.p_value, found.n_tied) == (3 / 4, 3)

    def test_pools_in_which_the_search_flips_no_median_prompt_lose_the_tie(self):
        found = control([2] * 4, [[1, 1, 1, 1]], {0: [0, 0, 0, 1]})
        assert found.null_values == (4.0,)

    def test_what_only_a_wider_pool_flips_does_not_count(self):
        """Widening looks for effect: a random pool that is widened so would hold the mechanism too."""
        found = control([1] * 4, [[1, 1, 0, 0], [1, 1, 1, 0]], {0: [1, 1, 0, 0]}, widened=2)
        assert (found.flipped.value, found.flipped_by_candidates.value) == (1.0, 0.5)
        assert found.p_value == 1.0

    def test_ties_are_those_that_flip_as_many_if_any(self):
        candidates = [WidenedPool(prompt_id="p", added=(), scores=(-1.0, -2.0))]
        null = [NullScores(prompt_id="p", scores=(1.0, -1.0, -2.0))]
        assert tied_pools(candidates, null) == [1, 2]
        assert null[0].n_flipping == 2
        assert tied_pools([WidenedPool(prompt_id="p", added=(), scores=(1.0,))], null) == []

    def test_scores_next_to_zero_are_marked(self):
        assert control([1, 2], [[0, 0]], margin=0.5).near_zero == ()
        assert control([1, 2], [[0, 0]], margin=4.53).near_zero == ("p0", "p1"), (
            "their scores are 4 and a half"
        )

    def test_other_prompts_cannot_be_paired(self):
        other = [NullScores(prompt_id="b", scores=(1.0,))]
        pool = [WidenedPool(prompt_id="a", added=(), scores=(1.0,))]
        with pytest.raises(AssertionError, match="unpaired"):
            against_null([minimal("a")], pool, other, {}, margin=0.5)

    def test_a_tie_that_was_not_searched_is_refused(self):
        with pytest.raises(AssertionError, match="other pools"):
            control([1], [[1]])


class TestAbsence:
    def test_sets_that_no_pool_matches_are_evidence(self):
        found = control([2] * 6, [[0] * 6] * 49)
        assert found.p_value == pytest.approx(0.02)
        assert absence_of_flips(found, level=0.02, n_train=(8, 8)) is None

    def test_one_pool_that_does_as_well_is_one_too_many(self):
        found = control([2] * 6, [*[[0] * 6] * 48, [1] * 6], {48: [2] * 6})
        absence = absence_of_flips(found, level=0.02, n_train=(8, 8))
        assert absence is not None
        assert absence.kind is AbsenceKind.NOT_BEYOND_NULL
        assert "flips 6 of 6 refused prompts; 1 of 49 pools" in absence.reason

    def test_the_number_of_prompts_does_not_make_it_evidence(self):
        """Forty prompts share their pool: a second pool as good outweighs them all."""
        for n in (4, 40, 400):
            assert control([1] * n, [[1] * n] * 9, {k: [1] * n for k in range(9)}).p_value == 1.0

    def test_few_pools_cannot_show_it_and_that_is_said(self):
        absence = absence_of_flips(control([1] * 5, [[0] * 5] * 9), level=0.02, n_train=(8, 8))
        assert absence is not None
        assert "9 pools cannot show less than 0.1" in absence.reason

    def test_nothing_flipped(self):
        absence = absence_of_flips(control([0] * 40, [[0] * 40]), level=0.02, n_train=(8, 8))
        assert absence is not None
        assert absence.kind is AbsenceKind.NO_FLIP
        assert "None of 40 refused prompts is flipped (0% [0%, 9%])" in absence.reason

    def test_what_only_widening_flips_is_no_evidence_for_the_candidates(self):
        absence = absence_of_flips(
            control([1] * 4, [[0] * 4] * 49, widened=4), level=0.02, n_train=(8, 8)
        )
        assert absence is not None
        assert "flips 0 of 4 refused prompts before any pool is widened" in absence.reason


N_FEATURES, N_POOL, N_PROMPTS, N_POOLS, RUNS = 500, 16, 40, 49, 1000


class Additive:
    """Refusal as a sum over features whose effects prompts share but for a jitter, log units: a prompt
    flips once the effects of what is ablated exceed its score."""

    def __init__(self, draws: np.random.Generator, jitter: float, *, lone: bool = False) -> None:
        shared = np.exp(1.5 * draws.normal(size=N_FEATURES))
        if lone:
            shared = np.where(np.arange(N_FEATURES) == draws.integers(N_FEATURES), 1e4, 1e-3)
        scatter = np.exp(jitter * draws.normal(size=(N_PROMPTS, N_FEATURES)))
        self._effects: Float[np.ndarray, "prompt feature"] = shared * scatter
        usual = N_POOL * shared.mean() if not lone else 1.0
        self._scores = usual * np.exp(0.5 * draws.normal(size=N_PROMPTS))

    def smallest(self, pool: np.ndarray) -> Float[np.ndarray, " prompt"]:
        """Size of each prompt's smallest set in a pool of its own or one for all; infinite if none."""
        effects = np.take_along_axis(self._effects, np.broadcast_to(pool, (N_PROMPTS, N_POOL)), 1)
        reached = np.sort(effects, axis=1)[:, ::-1].cumsum(axis=1) > self._scores[:, None]
        return np.where(reached[:, -1], reached.argmax(axis=1) + 1.0, np.inf)


def statistic(sizes: Float[np.ndarray, " prompt"]) -> float:
    flips: Bool[np.ndarray, " prompt"] = np.isfinite(sizes)
    size = np.quantile(sizes[:N_SEARCHED], 0.5, method="higher")
    return float(flips.sum() + (1.0 / size if flips.any() else 0.0))


def pool(draws: np.random.Generator, n: int | None = None) -> np.ndarray:
    """Pools under the null: any features, without repeats."""
    order = draws.random((n or 1, N_FEATURES)).argpartition(N_POOL, axis=1)[:, :N_POOL]
    return order if n else order[0]


class TestLevel:
    """The candidates are one more random pool: a test at 2% may find something in 2% of audits."""

    @pytest.mark.parametrize(
        ("jitter", "lone"), [(0.0, False), (0.3, False), (1.0, False), (0.0, True)]
    )
    def test_by_rank_it_is_kept_however_much_prompts_share(self, jitter: float, lone: bool):
        """In 1,000 audits of 40 prompts: at most 1.25 times 2%, and twice the standard error of that;
        also if a lone feature does it all."""
        draws = np.random.default_rng(int(10 * jitter) + lone)
        rejected = 0
        for _ in range(RUNS):
            model = Additive(draws, jitter, lone=lone)
            own = statistic(model.smallest(pool(draws)))
            # Ranked until one pool is as good: with 49, p is then above 2%.
            rejected += all(statistic(model.smallest(pool(draws))) < own for _ in range(N_POOLS))
        assert rejected / RUNS <= 1.25 * 0.02 + 2 * np.sqrt(0.025 * 0.975 / RUNS)

    def test_the_rank_that_decides_is_that_of_the_p_value(self):
        null = [1.0] * N_POOLS
        assert rank_p_value(2.0, null) <= 0.02 < rank_p_value(1.0, [*null[1:], 1.0])

    @pytest.mark.parametrize(("jitter", "least"), [(0.0, 0.2), (0.3, 0.15), (1.0, 0.04)])
    def test_a_sign_test_over_prompts_does_not_keep_it(self, jitter: float, least: float):
        """One pool of candidates for all prompts, new pools for each: forty times the same luck."""
        draws, runs = np.random.default_rng(0), 200
        p_values = []
        for _ in range(runs):
            model = Additive(draws, jitter)
            own = model.smallest(pool(draws))
            random = model.smallest(pool(draws, N_PROMPTS))
            p_values.append(sign_test_p_value(int((own < random).sum()), int((own > random).sum())))
        assert np.mean(np.array(p_values) <= 0.02) >= least
