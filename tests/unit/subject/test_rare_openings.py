"""Refusals of many wordings: the tokens that greedy answers do not show."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from jaxtyping import Float

from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject.rare_openings import with_rare_openings
from sae_audit.subject.readout.refusal_tokens import RefusalTokens, is_answer, is_refusal
from tests import tiny

ME, NO, NEVER, MAYBE, SURE, ODD = range(6)
WORDS = ("I", "No", "Never", "Maybe", "Sure", "Odd")
GREEDY = RefusalTokens(ids=(ME,), texts=("I",), source="found", n_answers=8)
HARMFUL = [Prompt(id=f"h{i}", text=f"harmful {i}", label=Label.HARMFUL) for i in range(8)]
HARMLESS = [Prompt(id=f"o{i}", text=f"ordinary {i}", label=Label.HARMLESS) for i in range(4)]


class Spread:
    """Refuses harmful prompts in several words, each as likely as the test says."""

    def __init__(self, harmful: Sequence[float], harmless: Sequence[float]) -> None:
        self.of = {Label.HARMFUL: harmful, Label.HARMLESS: harmless}
        self.begun: list[int] = []

    def first_probabilities(
        self, prompts: Sequence[Prompt]
    ) -> Float[np.ndarray, "prompt vocabulary"]:
        return np.array([self.of[prompt.label] for prompt in prompts])

    def answers_begun_with(self, asked: Sequence[tuple[int, Prompt]]) -> list[str]:
        self.begun += [token for token, _ in asked]
        refusing = (ME, NO, NEVER)
        return [
            f"{WORDS[token]}, I can't help." if token in refusing else "Sure, here."
            for token, _ in asked
        ]

    def token_text(self, token: int) -> str:
        return WORDS[token]


def heard(model: Spread, refused: Sequence[Prompt] = HARMFUL) -> RefusalTokens:
    return with_rare_openings(GREEDY, model, refused, HARMLESS, is_refusal)


def test_openings_that_are_rarer_than_the_greedy_one_are_found():
    model = Spread([0.4, 0.3, 0.2, 0.05, 0.05, 0.0], [0.1, 0.0, 0.0, 0.0, 0.9, 0.0])
    found = heard(model)
    assert found.texts == ("I", "No", "Never"), "the likeliest first"
    assert (found.source, found.n_answers) == ("found", 8)
    assert found.note.startswith("2 of the refusal tokens open no greedy answer")
    assert "score as answered" not in found.note
    assert (found.n_refused, found.n_scored) == (8, 8)


def test_a_word_that_answers_follow_is_none_however_harmful_the_prompts():
    model = Spread([0.4, 0.2, 0.1, 0.3, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    assert MAYBE not in heard(model).ids
    assert MAYBE in model.begun, "it was tried"


def test_a_word_as_likely_on_harmless_prompts_is_not_tried():
    model = Spread([0.4, 0.3, 0.0, 0.0, 0.3, 0.0], [0.0, 0.2, 0.0, 0.0, 0.8, 0.0])
    assert heard(model).ids == (ME,)
    assert model.begun == []


def test_one_word_that_holds_refusals_alone_is_left_as_it_is():
    model = Spread([0.95, 0.05, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    assert heard(model) == replace(GREEDY, n_refused=8, n_scored=8)
    assert model.begun == []


def test_refusals_that_still_do_not_show_in_the_score_are_remarked_on():
    """More words than are tried, or none that tells: silence would be `it does not refuse`."""
    model = Spread([0.3, 0.0, 0.0, 0.35, 0.35, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    found = heard(model)
    assert found.ids == (ME,)
    assert found.note == (
        "Of 8 prompts that the model refuses in words, 8 score as answered: its refusals begin in more "
        "ways than these tokens; see refusal_tokens."
    )
    assert (found.n_refused, found.n_scored) == (8, 0)


@pytest.mark.parametrize(
    ("threshold", "n_scored"), [(0.0, 0), (-0.8, 0), (-0.9, 8), (-2.0, 8), (-1e9, 8), (1e9, 0)]
)
def test_a_prompt_scores_as_refused_above_the_threshold(threshold: float, n_scored: int):
    """The token has probability .3: a score of -.85."""
    model = Spread([0.3, 0.0, 0.0, 0.35, 0.35, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    found = with_rare_openings(GREEDY, model, HARMFUL, HARMLESS, is_refusal, threshold)
    assert found.n_scored == n_scored
    assert ("score as answered" in found.note) == (n_scored == 0)


def test_without_a_refusal_or_a_token_there_is_nothing_to_go_by():
    model = Spread([0.4, 0.6, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    assert heard(model, refused=[]) == GREEDY
    none = RefusalTokens(ids=(), texts=(), source="none", n_answers=8)
    assert with_rare_openings(none, model, HARMFUL, HARMLESS, is_refusal) == none


def test_no_harmless_answer_is_no_contrast():
    model = Spread([0.4, 0.6, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    assert with_rare_openings(GREEDY, model, HARMFUL, [], is_refusal).ids == (ME, NO)


def test_an_answer_is_one_or_the_other_or_neither():
    assert is_refusal("I can't help with that.")
    assert is_answer("Sure, here is a plan.")
    assert not is_refusal("")
    assert not is_answer("")


def test_a_subjects_first_probabilities_are_the_models():
    subject = tiny.subject_in_memory("llama", [tiny.sae("jumprelu", 0)])
    prompts = [Prompt(id=t, text=t, label=Label.HARMFUL) for t in ("say yes", "never say no")]
    found = subject.first_probabilities(prompts)
    for row, prompt in zip(found, prompts, strict=True):
        ids = subject.template.tokens(prompt.text)[None]
        wanted = subject.network(input_ids=ids).logits[0, -1].double().softmax(dim=-1)
        np.testing.assert_allclose(row, wanted.detach().numpy(), atol=1e-6)
        assert row.sum() == pytest.approx(1.0)


def test_answers_begun_with_the_greedy_token_are_the_greedy_answers():
    subject = tiny.subject_in_memory("llama", [tiny.sae("jumprelu", 0)])
    prompts = [Prompt(id=t, text=t, label=Label.HARMFUL) for t in ("say yes", "never say no")]
    first, texts = subject.completions(prompts, 6)
    asked = list(zip(first, prompts, strict=True))
    assert subject.answers_begun_with([*asked, *asked[::-1]], 6) == [*texts, *texts[::-1]]
    assert subject.answers_begun_with([], 6) == []
