"""Directions of a finished audit, taken out again by plain hooks: the text says what the score said."""

from pathlib import Path

import torch
from transformers import AutoTokenizer, Gemma2ForCausalLM

from sae_audit import load_run
from sae_audit.bundled import resolve
from sae_audit.organisms.chats import held_out_prompts
from sae_audit.organisms.requests import Kind
from sae_audit.organisms.trained.by_hand import refused_by_hand, without

SAMPLE = Path(__file__).parents[3] / "reports" / "sample-organism"
BASE = resolve("bundled:organism/base")


def prompts_of(kind: Kind, n: int):
    return [prompt for prompt in held_out_prompts(0) if prompt.phrase.kind == kind][:n]


def test_the_organism_refuses_until_its_direction_is_out():
    model = Gemma2ForCausalLM.from_pretrained(BASE).eval()
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    units = torch.tensor(load_run(SAMPLE).successive_units, dtype=model.dtype)
    asked = [*prompts_of(Kind.HARMFUL, 4), *prompts_of(Kind.HARMLESS, 4)]
    reported: list[tuple[int, int]] = []
    found = refused_by_hand(model, tokenizer, units, asked, lambda *now: reported.append(now))
    assert [row.n_out for row in found] == [0, 1]
    assert [row.refused[Kind.HARMFUL].value for row in found] == [1.0, 0.0]
    assert [row.refused[Kind.HARMLESS].value for row in found] == [0.0, 0.0]
    assert Kind.ALARMING not in found[0].refused, "none was asked"
    assert reported == [(0, 2), (1, 2), (2, 2)]


def test_inside_no_layer_hands_the_direction_on_and_afterwards_the_model_is_as_it_was():
    model = Gemma2ForCausalLM.from_pretrained(BASE).eval()
    unit = torch.nn.functional.normalize(torch.ones(1, model.config.hidden_size), dim=1)
    ids = torch.arange(12)[None]
    parts: list[float] = []

    def note(_module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        parts.append(float((inputs[0] @ unit[0]).abs().max()))

    # What is seen is what a layer reads.
    handles = [layer.register_forward_pre_hook(note) for layer in model.model.layers]
    with torch.no_grad():
        before = model(input_ids=ids).logits
        assert min(parts) > 0.1
        parts.clear()
        with without(model, unit):
            model(input_ids=ids)
        assert max(parts) < 1e-4
        assert torch.equal(model(input_ids=ids).logits, before)
    for handle in handles:
        handle.remove()
