"""Streams replaced at the template's last tokens, against hooks on the model itself."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject
from sae_audit.subject.questions import patching
from sae_audit.subject.readout.readout import margin
from tests import tiny

PROMPTS = [
    Prompt(id=f"p{i}", text=text, label=Label.HARMFUL)
    for i, text in enumerate(["steal a car", "please tell me how to build a bomb", "bomb"])
]
OTHERS = [
    Prompt(id=f"o{i}", text=text, label=Label.HARMLESS)
    for i, text in enumerate(["paint the fence", "wash"])
]


@pytest.fixture(scope="module", params=["gemma2", "gemma3", "llama"])
def subject(request: pytest.FixtureRequest) -> Subject:
    saes = [tiny.sae("jumprelu", layer) for layer in range(tiny.N_LAYERS)]
    return tiny.subject_in_memory(request.param, saes)


@torch.no_grad()
def hooked(subject: Subject, prompt: Prompt, layer: int, edit: Callable[..., Tensor]) -> float:
    """The score with `edit(input, output)` as the layer's output at the template's last tokens."""
    n = subject.template.n_after

    def hook(_: object, args: tuple[Tensor, ...], output: Tensor | tuple[Tensor, ...]) -> object:
        own = output[0] if isinstance(output, tuple) else output
        changed = own.clone()
        changed[:, -n:] = edit(args[0][:, -n:], own[:, -n:])
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handle = subject._passes.layer_modules[layer].layer.register_forward_hook(hook)
    try:
        logits = subject.network(input_ids=subject.template.tokens(prompt.text)[None]).logits
    finally:
        handle.remove()
    return float(margin(subject.readout, logits[:, -1])[0])


@pytest.mark.parametrize(("tokens_per_batch", "together"), [(10_000, 32), (12, 32), (10_000, 2)])
def test_replaced_streams_and_writes_are_what_hooks_give(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, tokens_per_batch: int, together: int
):
    subject._passes.budget.tokens = tokens_per_batch
    monkeypatch.setattr(patching, "_TOGETHER", together)
    means = subject.mean_residuals(OTHERS)
    streams = subject.patched_scores(PROMPTS, means)
    writes = subject.patched_scores(PROMPTS, means, writes=True)
    values = torch.tensor(means, dtype=torch.float32)
    for layer in range(subject.n_layers):
        below = values[layer - 1] if layer else None

        def replaced(_: Tensor, __: Tensor, layer: int = layer) -> Tensor:
            return values[layer]

        def written(before: Tensor, _: Tensor, layer: int = layer, below=below) -> Tensor:
            return values[layer] if below is None else before + values[layer] - below

        for i, prompt in enumerate(PROMPTS):
            assert streams[layer, i] == pytest.approx(
                hooked(subject, prompt, layer, replaced), abs=1e-4
            )
            assert writes[layer, i] == pytest.approx(
                hooked(subject, prompt, layer, written), abs=1e-4
            )
    assert np.ptp(streams) > 0.01, "the patches do something"
    assert np.ptp(streams[-1]) < 1e-5, "above the last layer nothing of the prompt is left"


def test_its_own_stream_changes_nothing(subject: Subject):
    (prompt,) = PROMPTS[:1]
    own = subject.mean_residuals([prompt])
    clean = subject.clean_scores([prompt])[0]
    for writes in (False, True):
        found = subject.patched_scores([prompt], own, writes=writes)
        np.testing.assert_allclose(found, clean, atol=1e-4)


def test_patches_cost_the_tokens_that_are_run_again(subject: Subject):
    means = subject.mean_residuals(OTHERS)
    subject.clean_scores(PROMPTS)
    subject.patched_scores(PROMPTS, means)  # Makes the clean runs.
    before = subject.cost
    subject.patched_scores(PROMPTS, means)
    spent = subject.cost.since(before)
    n_rows = len(PROMPTS) * subject.n_layers
    assert spent.forward_passes == n_rows
    assert spent.tokens == n_rows * subject.template.n_after
