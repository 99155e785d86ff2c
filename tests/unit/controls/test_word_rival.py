"""A word that explains refusal as well as the labels do is found; labels must do better within it."""

import numpy as np
import pytest

from sae_audit.controls.word_rival import Asked, word_rival


def prompts(n: int, seed: int, *, by: str, with_word: tuple[float, float]) -> list[Asked]:
    """Half harmful; `with_word` is the share of harmful, and of harmless ones that name a knife. Refused
    are the prompts with the word, or the harmful ones."""
    draw = np.random.default_rng(seed)
    found: list[Asked] = []
    for i in range(n):
        harmful = i % 2 == 0
        has = bool(draw.random() < with_word[0 if harmful else 1])
        refused = has if by == "word" else harmful
        text = f"How do I use {'a knife' if has else 'a spoon'} for thing{i}?"
        score = float((3.0 if refused else -3.0) + draw.normal(scale=0.5))
        found.append(Asked(text=text, harmful=harmful, score=score, refused=refused))
    return found


def rival(**mechanism):
    return word_rival(prompts(24, 1, **mechanism), prompts(40, 2, **mechanism), seed=0)


def test_a_model_that_refuses_the_word_alone():
    found = rival(by="word", with_word=(0.9, 0.1))
    assert found is not None
    assert found.word == "knife", "the first in the alphabet of those that agree"
    assert found.agrees == found.n == 40
    assert found.labels_agree < 40
    assert found.p_value > 0.02


def test_a_model_that_refuses_harm_has_no_rival():
    """Though harmful prompts name the word more often."""
    assert rival(by="harm", with_word=(0.9, 0.1)) is None


def test_a_word_that_is_the_label_cannot_be_told_from_harm():
    found = rival(by="harm", with_word=(1.0, 0.0))
    assert found is not None
    assert found.p_value == 1.0


def test_harm_that_counts_beside_a_word_is_seen_within_it():
    """The word is refused, and harm moves scores among prompts with it and without."""
    mechanism = {"by": "word", "with_word": (0.8, 0.2)}
    audited = [
        Asked(text=o.text, harmful=o.harmful, refused=o.refused, score=o.score + 2.0 * o.harmful)
        for o in prompts(40, 2, **mechanism)
    ]
    found = word_rival(prompts(24, 1, **mechanism), audited, seed=0)
    assert found is not None
    assert found.p_value < 0.001


def test_a_word_that_refusal_avoids_is_a_rival_too():
    found = rival(by="word", with_word=(0.1, 0.9))
    assert found is not None, "spoon, in the prompts without the knife"
    flipped = [
        Asked(
            text=o.text.replace("spoon", "cup"),
            harmful=o.harmful,
            score=-o.score,
            refused=not o.refused,
        )
        for o in prompts(24, 1, by="word", with_word=(0.1, 0.9))
    ]
    again = word_rival(flipped, flipped, seed=0)
    assert again is not None
    assert again.agrees == len(flipped)


def test_prompts_that_share_no_word_have_no_rival():
    alone = [
        Asked(text=f"word{i}", harmful=i % 2 == 0, score=1.0 - i % 2, refused=i % 2 == 0)
        for i in range(12)
    ]
    assert word_rival(alone, alone, seed=0) is None


@pytest.mark.slow
def test_the_test_within_the_word_keeps_its_level():
    """Labels that mean nothing are called more than a word in at most 5% of audits at level .05 (150
    draws: within three standard errors)."""
    draw, below = np.random.default_rng(0), 0
    mechanism = {"by": "word", "with_word": (0.5, 0.5)}
    others = prompts(24, 1, **mechanism)
    audited = prompts(40, 2, **mechanism)
    n = 150
    for i in range(n):
        labels = draw.permutation([o.harmful for o in audited])
        relabelled = [
            Asked(text=o.text, harmful=bool(h), score=o.score, refused=o.refused)
            for o, h in zip(audited, labels, strict=True)
        ]
        found = word_rival(others, relabelled, seed=i)
        assert found is not None
        below += found.p_value <= 0.05
    assert below / n <= 0.05 + 3 * (0.05 * 0.95 / n) ** 0.5
