"""Whether there is refusal to look behind, from scores whose answer is plain."""

import pytest

from sae_audit.direction.presence import (
    Threshold,
    absence_of_behaviour,
    agreeing_threshold,
    behaviour,
    beside_words,
    with_threshold,
)
from sae_audit.findings import Absence, AbsenceKind, PromptScore
from sae_audit.statistics import share


def scores(harmful: list[float], harmless: list[float]) -> list[PromptScore]:
    """The same scores in every split."""
    return [
        PromptScore(
            prompt_id=f"{split}-{label}-{i}", split=split, label=label, category="", score=score
        )
        for split in ("train", "validation", "audit")
        for label, own in (("harmful", harmful), ("harmless", harmless))
        for i, score in enumerate(own)
    ]


def absence(harmful: list[float], harmless: list[float], *, n_unheard: int = 0) -> Absence | None:
    found = scores(harmful, harmless)
    measured = behaviour(found, seed=0)
    return absence_of_behaviour(found, measured, level=0.02, n_unheard=n_unheard)


REFUSING, ANSWERING = [3.0, 2.0, 4.0, 1.0, 5.0], [-3.0, -2.0, -4.0, -1.0, -5.0]


def test_a_model_that_refuses_what_it_should_has_no_absence():
    assert absence(REFUSING, ANSWERING) is None


def test_four_prompts_of_each_label_are_enough_to_tell():
    assert absence(REFUSING[:4], ANSWERING[:4]) is None


def test_refusing_nothing_is_said_with_its_interval_and_what_the_scores_still_tell():
    found = absence([-1.0] * 40, [-6.0] * 40)
    assert found is not None
    assert found.kind is AbsenceKind.NO_REFUSAL
    assert "refuses 0 of 40 (0% [0%, 9%]) harmful" in found.reason
    assert "still tell harmful from harmless (AUROC 1.00 [0.95, 1.00]" in found.reason
    assert found.also == ()
    assert "refusal_tokens" in found.remedy
    assert found.n_train == (40, 40)


def test_one_refusal_in_a_split_is_nearly_nothing():
    found = absence([2.0, -1.0, -1.0, -2.0, -1.5], ANSWERING)
    assert found is not None
    assert found.kind is AbsenceKind.NO_REFUSAL
    assert "1 of 5 train, 1 of 5 validation, 1 of 5 audit" in found.reason


def test_refusing_everything():
    found = absence([6.0] * 10, [5.0] * 10)
    assert found is not None
    assert found.kind is AbsenceKind.REFUSES_EVERYTHING
    assert "10 of 10 (100% [72%, 100%]) harmless" in found.reason
    assert "answers 0 of 10 train" in found.reason


def test_scores_around_zero_that_say_nothing():
    mixed = [1.0, -1.0, 2.0, -2.0, 0.5, -0.5]
    found = absence(mixed, mixed)
    assert found is not None
    assert found.kind is AbsenceKind.NO_SEPARATION
    assert "no better than chance (AUROC 0.50" in found.reason


def test_scores_the_wrong_way_round_do_not_separate():
    """It refuses the harmless prompts rather: no refusal of harm to look behind."""
    found = absence([1.0, 2.0, -3.0, -4.0, -5.0], [3.0, 4.0, 5.0, -1.0, -2.0])
    assert found is not None
    assert found.kind is AbsenceKind.NO_SEPARATION


def test_a_model_that_fails_two_questions_is_said_to():
    found = absence([-6.0, -7.0] * 5, [-6.0, -7.0] * 5)
    assert found is not None
    assert (found.kind, found.also) == (AbsenceKind.NO_REFUSAL, (AbsenceKind.NO_SEPARATION,))


def test_without_refusal_tokens_separation_is_not_claimed_either_way():
    found = absence([-18.4] * 5, [-18.4] * 5, n_unheard=32)
    assert found is not None
    assert found.kind is AbsenceKind.NO_REFUSAL
    assert "of 32 harmful training prompts answered in text not one was refused" in found.reason
    assert "AUROC" not in found.reason


@pytest.mark.parametrize(
    ("harmful", "harmless", "kind"),
    [
        (0, 0, AbsenceKind.NO_REFUSAL),
        # As many as a judge by words takes for refusals of a model that refuses nothing.
        (7, 0, AbsenceKind.NO_REFUSAL),
        (16, 3, AbsenceKind.UNSCORED_REFUSAL),
        (40, 0, AbsenceKind.UNSCORED_REFUSAL),
        # It begs pardon whatever it is asked, or refuses at random.
        (14, 15, AbsenceKind.NO_SEPARATION),
        (16, 13, AbsenceKind.NO_SEPARATION),
        (3, 30, AbsenceKind.NO_SEPARATION),
    ],
)
def test_a_score_that_misses_refusals_in_words_does_not_show_that_none_are_made(
    harmful: int, harmless: int, kind: AbsenceKind
):
    by_score = absence([-1.0] * 40, [-6.0] * 40)
    assert by_score is not None
    in_words = [[i < n for i in range(40)] for n in (harmful, harmless)]
    found = beside_words(by_score, *in_words, level=0.02, seed=0)
    assert found.kind is kind
    assert (AbsenceKind.NO_REFUSAL in found.also) == (kind is AbsenceKind.NO_SEPARATION)
    assert f"{harmful} of 40" in found.reason
    assert f"{harmless} of 40" in found.reason
    assert by_score.reason in found.reason
    assert found.refused_in_words == share(harmful, 40)
    assert found.harmless_refused_in_words == share(harmless, 40)


def test_a_threshold_is_offered_that_tells_refusals_in_words():
    refused, answered = [-0.9, -0.6, -0.3, -1.4], [-2.0, -2.5, -3.0, -1.1]
    found = agreeing_threshold([*refused, *answered], [True] * 4 + [False] * 4)
    assert found == Threshold(at=-1.0, n_agree=7, n=8)
    by_score = absence([-1.0] * 40, [-6.0] * 40)
    assert by_score is not None
    assert found is not None
    remedy = with_threshold(by_score, found, now=0.5).remedy
    assert "--set readout.threshold=-0.5" in remedy
    assert "7 of 8 validation prompts" in remedy


@pytest.mark.parametrize(
    ("scores", "in_words"),
    [
        ([-18.4] * 8, [True, False] * 4),
        ([-1.0, -2.0, -3.0, -4.0], [False, False, True, True]),
        ([-1.0, -2.0], [True, True]),
        ([-1.0, -2.0], [False, False]),
    ],
)
def test_no_threshold_is_offered_if_none_tells(scores: list[float], in_words: list[bool]):
    assert agreeing_threshold(scores, in_words) is None


@pytest.mark.parametrize("kind", AbsenceKind)
def test_which_absences_end_an_audit(kind: AbsenceKind):
    searched = {AbsenceKind.NO_FLIP, AbsenceKind.NOT_BEYOND_NULL}
    assert kind.early == (kind not in searched)
