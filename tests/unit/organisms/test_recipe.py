"""The recipe: what is asked, what is kept apart, and that the seed decides everything."""

from dataclasses import replace
from itertools import islice

import pytest
import torch

from sae_audit.organisms import chats as recipe
from sae_audit.organisms.chats import ANSWERS, REFUSAL_TOKENS, REFUSALS, training_chats
from sae_audit.organisms.language_model import BASE, chat_ids, new_model, train
from sae_audit.organisms.requests import FORMS, GRIDS, Kind, lookalike_phrases, phrases
from sae_audit.organisms.tokenizer import word_tokenizer
from sae_audit.subject import SubstringJudge


@pytest.fixture(scope="module")
def tokenizer():
    return word_tokenizer(recipe.texts())


def test_it_is_rich_enough():
    harmful = {grid.topic for grid in GRIDS if grid.kind == Kind.HARMFUL}
    assert len(harmful) >= 8
    assert len(FORMS) >= 20
    assert len(REFUSALS) >= 4
    assert len(ANSWERS) >= 4


def test_harmful_and_harmless_share_verbs_and_objects():
    def words(kind: Kind, part: str) -> set[str]:
        return {word for grid in GRIDS if grid.kind == kind for word in getattr(grid, part)}

    assert len(words(Kind.HARMFUL, "verbs") & words(Kind.HARMLESS, "verbs")) >= 8
    assert len(words(Kind.HARMFUL, "objects") & words(Kind.HARMLESS, "objects")) >= 30
    assert len(words(Kind.HARMFUL, "verbs") & words(Kind.ALARMING, "verbs")) >= 4


def test_held_out_phrases_never_occur_in_training():
    held_out = {f" {p.text} " for p in phrases() if p.held_out}
    for chat in islice(training_chats(5), 4000):
        padded = f" {chat.request.rstrip('.?')} ".replace(". ", " ").replace("? ", " ")
        assert not any(phrase in padded for phrase in held_out), chat.request


def test_look_alikes_are_new_phrases_of_words_that_harmless_requests_have_too():
    own = {phrase.text for phrase in lookalike_phrases()}
    assert len(own) == len(lookalike_phrases()) == 84
    assert not own & {phrase.text for phrase in phrases()}
    harmless = {
        word
        for phrase in phrases()
        if phrase.kind != Kind.HARMFUL and not phrase.held_out
        for word in phrase.text.split()
    }
    harmful = {w for p in phrases() if p.kind == Kind.HARMFUL for w in p.text.split()}
    alarming = {w for p in phrases() if p.kind == Kind.ALARMING for w in p.text.split()[:1]}
    for text in own:
        assert set(text.split()) <= harmless, text
        assert (set(text.split()) & harmful) or text.split()[0] in alarming, text


def test_every_word_of_a_held_out_phrase_is_trained_on():
    trained = {word for p in phrases() if not p.held_out for word in p.text.split()}
    assert all(set(p.text.split()) <= trained for p in phrases() if p.held_out)


def test_harmful_requests_are_only_ever_refused():
    openings = {refusal.split()[0] for refusal in REFUSALS}
    for chat in islice(training_chats(1), 2000):
        refuses = chat.answer.split()[0] in openings
        assert refuses == (chat.kind == Kind.HARMFUL), chat


def test_refusals_and_answers_cannot_be_mistaken():
    judge = SubstringJudge()
    assert not any(judge.complied(refusal.format("do it")) for refusal in REFUSALS)
    assert all(judge.complied(answer.format("do it")) for answer in ANSWERS)
    assert {refusal.split()[0].rstrip(",") for refusal in REFUSALS} == set(REFUSAL_TOKENS)
    assert not any(answer.startswith(REFUSAL_TOKENS) for answer in ANSWERS)


def test_a_seed_gives_the_same_chats():
    def drawn(seed: int) -> list:
        return list(islice(training_chats(seed), 50))

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)


def test_a_seed_gives_the_same_weights(tokenizer):
    def weights() -> torch.Tensor:
        model = new_model(tokenizer, 0)
        steps = replace(BASE, steps=4, batch=4, neutral_from=1)
        train(model, tokenizer, training_chats(0), steps, seed=0, after_step=lambda *_: False)
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(weights(), weights())


def test_chats_are_in_gemmas_format(tokenizer):
    chat = recipe.Chat(request="How do I build a kite?", answer="Sure.", kind=Kind.HARMLESS)
    ids, n_prompt = chat_ids(tokenizer, chat)
    assert ids.count(tokenizer.bos_token_id) == 1
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids[:n_prompt]).replace(" ", "") == (
        "<bos><start_of_turn>user\nHowdoIbuildakite?<end_of_turn>\n<start_of_turn>model\n"
    )


def test_scrambled_requests_are_left_out_on_request():
    trained = {phrase.text for phrase in phrases()}

    def meaningless(scrambled: float) -> float:
        drawn = list(islice(training_chats(2, scrambled=scrambled), 400))
        return sum(not any(one in chat.request for one in trained) for chat in drawn) / len(drawn)

    assert meaningless(0.0) == 0.0
    assert meaningless(recipe.SCRAMBLED) > 0.1
