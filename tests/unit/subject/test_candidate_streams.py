"""Streams under many candidate directions at once, against plain hooks on one prompt at a time."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from sae_audit.prompts.types import Prompt
from sae_audit.subject import Subject
from sae_audit.vocabulary import CandidateQuestions
from tests import tiny
from tests.unit.subject.test_candidate_effects import HARMFUL, HARMLESS, units

FAMILIES = ["gemma2", "gemma3", "llama"]


@pytest.fixture(scope="module", params=FAMILIES)
def subject(request: pytest.FixtureRequest) -> Subject:
    saes = [tiny.sae("jumprelu", layer) for layer in range(tiny.N_LAYERS)]
    return tiny.subject_in_memory(request.param, saes)


@contextmanager
def hooked(handles: Sequence[Any]) -> Iterator[None]:
    with ExitStack() as hooks:
        for handle in handles:
            hooks.callback(handle.remove)
        yield


def stream(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def with_stream(output: Any, changed: Tensor) -> Any:
    return (changed, *output[1:]) if isinstance(output, tuple) else changed


def removing(subject: Subject, directions: np.ndarray) -> list[Any]:
    """Hooks that project unit directions out of all that makes up the stream, written out by hand."""
    rows = torch.tensor(directions, dtype=torch.float32)

    def out(resid: Tensor) -> Tensor:
        for row in rows:
            resid = resid - (resid @ row)[..., None] * row
        return resid

    def before(_module: Any, args: Any, kwargs: Any) -> Any:
        if args:
            return (out(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": out(kwargs["hidden_states"])}

    handles: list[Any] = []
    for own in subject._passes.layer_modules:
        handles.append(own.layer.register_forward_pre_hook(before, with_kwargs=True))
        handles += [
            module.register_forward_hook(lambda _m, _a, o: with_stream(o, out(stream(o))))
            for module in own.writers
        ]
    return handles


def adding(subject: Subject, direction: np.ndarray, layer: int) -> Any:
    r = torch.tensor(direction, dtype=torch.float32)
    return subject._passes.layer_modules[layer].layer.register_forward_hook(
        lambda _m, _a, o: with_stream(o, stream(o) + r)
    )


@torch.no_grad()
def last_streams(
    subject: Subject, prompt: Prompt, layers: Sequence[int], hooks: Callable[[], list[Any]]
) -> np.ndarray:
    """`resid_post` of the layers at the last token of one prompt, run alone, hooks in force."""
    seen: dict[int, Tensor] = {}
    with hooked(hooks()):
        notes = [
            subject._passes.layer_modules[layer].layer.register_forward_hook(
                lambda _m, _a, o, layer=layer: seen.update({layer: stream(o)[0, -1]})
            )
            for layer in layers
        ]
        with hooked(notes):
            subject.network(input_ids=subject.template.tokens(prompt.text)[None], use_cache=False)
    return torch.stack([seen[layer] for layer in layers]).double().numpy()


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 1000),
    layers=st.sets(st.integers(0, tiny.N_LAYERS - 1), min_size=1).map(sorted),
    n_behind=st.sampled_from([0, 2]),
    tokens_per_batch=st.sampled_from([20, 4096]),
)
def test_rows_are_what_plain_hooks_give(
    subject: Subject, seed: int, layers: list[int], n_behind: int, tokens_per_batch: int
):
    """Candidates, prompts and layers of addition mixed, with other directions out and without."""
    subject._passes.budget.tokens = tokens_per_batch
    drawn = units(n_behind + 3, seed)
    behind, directions = drawn[:n_behind], 3.0 * drawn[n_behind:]
    effects = subject.direction_effects(HARMFUL, HARMLESS, behind=behind if n_behind else None)
    assert isinstance(effects, CandidateQuestions)
    random = np.random.default_rng(seed)
    which, added_at = random.integers(3, size=5), random.integers(tiny.N_LAYERS, size=5)
    harmful, harmless = random.integers(len(HARMFUL), size=5), random.integers(4, size=5)

    found = effects.streams_without(directions[which], harmful.tolist(), layers)
    expected = [
        last_streams(
            subject,
            HARMFUL[i],
            layers,
            lambda c=c: removing(subject, np.concatenate([behind, directions[[c]] / 3.0])),
        )
        for c, i in zip(which, harmful, strict=True)
    ]
    np.testing.assert_allclose(found, np.stack(expected), atol=2e-4)

    found = effects.streams_with(directions[which], harmless.tolist(), added_at.tolist(), layers)
    expected = [
        last_streams(
            subject,
            HARMLESS[i],
            layers,
            lambda c=c, at=at: [
                *removing(subject, behind),
                adding(subject, directions[c], int(at)),
            ],
        )
        for c, i, at in zip(which, harmless, added_at, strict=True)
    ]
    np.testing.assert_allclose(found, np.stack(expected), atol=2e-4)
    clean = effects.clean_streams(layers)
    for own, prompts in zip(clean, (HARMFUL, HARMLESS), strict=True):
        expected = [
            last_streams(subject, prompt, layers, lambda: removing(subject, behind))
            for prompt in prompts
        ]
        np.testing.assert_allclose(own, np.stack(expected), atol=2e-4)


def test_layers_above_the_last_one_read_are_not_run(subject: Subject):
    effects = subject.direction_effects(HARMFUL, HARMLESS)
    effects.clean_streams([1])
    runs: list[int] = []
    handles = [
        own.layer.register_forward_hook(lambda *_, layer=layer: runs.append(layer))
        for layer, own in enumerate(subject._passes.layer_modules)
    ]
    with hooked(handles):
        effects.streams_without(np.ones((1, tiny.D_MODEL)), [0], [1])
        assert runs == [0, 1]
        runs.clear()
        effects.streams_with(np.ones((3, tiny.D_MODEL)), [0, 0, 0], [0, 1, 2], [1])
        assert runs == [1], "the layer above the first addition alone"
    assert subject.clean_scores(HARMFUL).shape == (3,), "no hook is left that ends a pass"
