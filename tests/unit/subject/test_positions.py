"""Prompts and answers longer than what the model reads are refused, not read by positions it lacks."""

import pytest
from transformers import GPT2Config, GPT2LMHeadModel

from sae_audit.errors import AuditError
from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject, load_subject
from tests import tiny

MOST = 16
"""Positions; the template writes some of them."""


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """A model with an embedding for each position: one beyond them has none."""
    folder = tiny.write_checkpoint(tmp_path_factory.mktemp("gpt2"), "llama")
    config = tiny.model("llama").config
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_embd=config.hidden_size,
            n_layer=config.num_hidden_layers,
            n_head=2,
            n_positions=MOST,
        )
    )
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return load_subject(str(folder), str(folder / "saes"), device="cpu", refusal_tokens=["no"])


def of(n_words: int) -> Prompt:
    return Prompt(id="p", text=" ".join(["never"] * n_words), label=Label.HARMFUL)


def test_a_prompt_that_fills_all_positions_is_read_and_a_longer_one_refused(subject: Subject):
    around = len(subject.template.tokens("never")) - 1
    whole = of(MOST - around)
    assert len(subject.template.tokens(whole.text)) == MOST
    assert subject.clean_scores([whole]).shape == (1,)
    with pytest.raises(AuditError, match=rf"has {MOST + 1} tokens .* reads {MOST} "):
        subject.clean_scores([of(MOST - around + 1)])


def test_an_answer_has_to_fit_behind_its_prompt(subject: Subject):
    n = len(subject.template.tokens(of(1).text))
    assert subject.generate([(of(1), frozenset())], MOST - n)
    with pytest.raises(
        AuditError, match=rf"A prompt of {n} tokens and an answer of {MOST - n + 1} "
    ):
        subject.generate([(of(1), frozenset())], MOST - n + 1)
    with pytest.raises(AuditError, match="answer_tokens"):
        subject.check_room([of(1)], 32)
