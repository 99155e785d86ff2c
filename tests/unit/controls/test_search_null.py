"""Minimal sets against the same search by chance."""

import numpy as np
import pytest

from sae_audit.controls.search_null import absence_of_flips, against_null
from sae_audit.findings import AbsenceKind, SearchNull
from sae_audit.vocabulary import FeatureId
from tests.synthetic.findings import minimal


def features(*sizes: int) -> list[tuple[FeatureId, ...]]:
    return [tuple(FeatureId(0, i) for i in range(size)) for size in sizes]


def control(own: list[int], random: list[int], *, margin: float = 0.5) -> SearchNull:
    """Of prompts whose sets have these sizes; 0: not flipped."""
    sets, null = (
        [minimal(f"p{i}", *chosen) for i, chosen in enumerate(features(*sizes))]
        for sizes in (own, random)
    )
    return against_null(sets, null, margin=margin)


class TestControl:
    def test_a_smaller_set_is_better_and_no_flip_is_worst(self):
        found = control([1, 2, 3, 0, 0, 2], [2, 0, 3, 4, 0, 1])
        assert (found.n_better, found.n_worse) == (2, 2)
        assert (found.flipped.value, found.flipped_random.value) == (4 / 6, 4 / 6)
        assert (found.sizes, found.sizes_random) == ((1, 2, 2, 3), (1, 2, 3, 4))

    def test_sets_that_random_features_do_not_match_are_evidence(self):
        found = control([2] * 6, [0] * 6)
        assert found.p_value == pytest.approx(1 / 64)
        assert absence_of_flips(found, level=0.02, n_train=(8, 8)) is None

    def test_a_search_that_does_no_better_by_candidates_finds_nothing(self):
        absence = absence_of_flips(control([1] * 40, [1] * 40), level=0.02, n_train=(8, 8))
        assert absence is not None
        assert absence.kind is AbsenceKind.NOT_BEYOND_NULL
        assert "flip 40 of 40 refused prompts, as many random features 40" in absence.reason

    def test_few_prompts_cannot_show_it_and_that_is_said(self):
        absence = absence_of_flips(control([1] * 5, [0] * 5), level=0.02, n_train=(8, 8))
        assert absence is not None
        assert "fewer than 6 untied prompts cannot show it" in absence.reason

    def test_nothing_flipped(self):
        absence = absence_of_flips(control([0] * 40, [0] * 40), level=0.02, n_train=(8, 8))
        assert absence is not None
        assert absence.kind is AbsenceKind.NO_FLIP
        assert "None of 40 refused prompts is flipped (0% [0%, 9%])" in absence.reason

    def test_scores_next_to_zero_are_marked(self):
        assert control([1, 2], [0, 0], margin=0.5).near_zero == ()
        assert control([1, 2], [0, 0], margin=4.53).near_zero == ("p0", "p1"), (
            "their scores are 4 and a half"
        )

    def test_searches_of_other_prompts_cannot_be_paired(self):
        with pytest.raises(AssertionError, match="unpaired"):
            against_null([minimal("a")], [minimal("b")], margin=0.5)

    def test_a_null_that_is_the_search_itself_is_significant_as_seldom_as_said(self):
        """Both searches draw set sizes from one distribution: below 2% in 2% of runs, or fewer."""
        random = np.random.default_rng(0)
        runs = random.integers(0, 4, (500, 2, 30))
        p_values = [control(list(own), list(null)).p_value for own, null in runs]
        assert np.mean(np.array(p_values) <= 0.02) < 0.035
