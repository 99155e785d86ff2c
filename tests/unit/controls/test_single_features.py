"""Effects of one feature, from scores whose answer is known."""

import numpy as np
import pytest

from sae_audit.controls.single_features import ablated_effect, raised_effect, spared_effect
from sae_audit.statistics import mean, share

CLEAN = np.array([2.0, 1.0, 3.0, 0.5, 4.0])


def test_an_ablation_turns_those_that_are_answered_then():
    ablated, random = np.array([-1.0, 0.5, 3.0, -0.5, 0.0]), CLEAN - 0.25
    found = ablated_effect(CLEAN, ablated, random)
    assert found.turned == share(2, 5), "at 0 the model neither refuses nor answers"
    assert found.score_change == mean(ablated - CLEAN)
    assert found.turned_random == share(0, 5)
    assert found.score_change_random is not None
    assert found.score_change_random.value == -0.25


def test_a_spared_feature_turns_what_is_answered_no_more():
    flipped = np.full(5, -1.0)
    spared = np.array([1.0, 0.0, 2.0, 0.5, 3.0])
    found = spared_effect(flipped, spared, np.full(5, -1.0))
    assert found.turned == share(5, 5), "the certificate asks for a score of 0 or more"
    assert found.turned_random == share(0, 5), "the random feature did as well"
    assert found.score_change.value == pytest.approx(2.3)


def test_a_raised_feature_turns_what_is_refused():
    answered = -CLEAN
    found = raised_effect(answered, np.array([1.0, -1.0, 0.0, 2.0, -3.0]), None)
    assert found.turned == share(2, 5)
    assert found.turned_random is None
    assert found.score_change_random is None


def test_no_prompt_is_no_effect():
    with pytest.raises(AssertionError, match="no prompt"):
        ablated_effect(np.zeros(0), np.zeros(0), None)
