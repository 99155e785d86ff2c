"""Many directions on single prompts at once, against one direction on all of them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject
from sae_audit.subject.intervention import beginnings
from sae_audit.subject.intervention.beginnings import Beginnings
from sae_audit.subject.intervention.projection import DirectionEffects
from sae_audit.subject.model import forward_passes
from sae_audit.subject.model.kl import least_kl, next_token_kl
from sae_audit.vocabulary import SCORE_BOUND
from tests import tiny

HARMFUL, HARMLESS = (
    [Prompt(id=f"{label}{i}", text=text, label=label) for i, text in enumerate(texts)]
    for label, texts in (
        (Label.HARMFUL, ["steal a car", "please tell me how to build a bomb", "bomb"]),
        (
            Label.HARMLESS,
            ["paint the fence", "wash", "please paint the bird house", "build a fence"],
        ),
    )
)


@pytest.fixture(scope="module", params=["gemma2", "gemma3", "llama"])
def subject(request: pytest.FixtureRequest) -> Subject:
    return tiny.subject_in_memory(
        request.param, [tiny.sae("jumprelu", layer) for layer in range(tiny.N_LAYERS)]
    )


def units(n: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed).normal(size=(tiny.D_MODEL, n))
    return np.linalg.qr(random)[0].T


@pytest.mark.parametrize("n_behind", [0, 2])
@pytest.mark.parametrize("tokens_per_batch", [None, 20])
def test_rows_are_what_each_direction_does_alone(
    subject: Subject, n_behind: int, tokens_per_batch: int | None
):
    """Layers, directions and lengths mixed in a batch, with others out of the stream and without."""
    drawn = units(tiny.N_LAYERS + 2, seed=1)
    behind, directions = drawn[:n_behind], 3.0 * drawn[2:]
    if tokens_per_batch is not None:
        subject._passes.budget.tokens = tokens_per_batch
    effects = subject.direction_effects(HARMFUL, HARMLESS, behind=behind if n_behind else None)
    alone = [effects.on_each(one, layer=layer) for layer, one in enumerate(directions)]
    harmful = [(c, i) for i in (2, 0, 1) for c in range(tiny.N_LAYERS)]
    harmless = [(c, i) for c in (2, 0, 1) for i in range(len(HARMLESS))]

    def rows(asked: list[tuple[int, int]]) -> tuple[np.ndarray, list[int]]:
        return directions[[c for c, _ in asked]], [i for _, i in asked]

    found = effects.bypass(*rows(harmful))
    np.testing.assert_allclose(found, [alone[c].bypass[i] for c, i in harmful], atol=1e-4)
    found = effects.kl(*rows(harmless))
    np.testing.assert_allclose(found, [alone[c].kl[i] for c, i in harmless], atol=1e-5)
    found = effects.induce(*rows(harmless), [c for c, _ in harmless])
    np.testing.assert_allclose(found, [alone[c].induce[i] for c, i in harmless], atol=1e-4)
    assert np.ptp(found) > 0.01, "the directions do something"
    assert (np.abs(found) <= SCORE_BOUND).all()


def effects_of(
    subject: Subject, prompts: list[torch.Tensor], head: torch.Tensor, kept_bytes: int = 1 << 20
) -> DirectionEffects:
    """Of the same prompts as harmful and harmless ones, their first tokens `head` run apart."""
    return DirectionEffects(
        subject._passes,
        subject._stack,
        subject._runs,
        prompts,
        prompts,
        subject.readout,
        Beginnings(head.tolist(), subject._passes, kept_bytes),
    )


@pytest.mark.parametrize(("n_alike", "kept_bytes"), [(3, 1 << 20), (12, 1 << 20), (3, 1)])
def test_what_all_prompts_begin_with_is_run_once_for_each_direction(
    subject: Subject, monkeypatch: pytest.MonkeyPatch, n_alike: int, kept_bytes: int
):
    """The same numbers, of prompts of several lengths under several directions, in fewer tokens."""
    monkeypatch.setattr(subject._passes.budget, "tokens", 10_000)

    monkeypatch.setattr(beginnings, "ALIKE_FROM", n_alike)
    drawn = torch.Generator().manual_seed(n_alike)
    head = torch.randint(5, 28, (n_alike,), generator=drawn)
    bodies = (torch.randint(5, 28, (n,), generator=drawn) for n in (4, 6, 5, 4, 6))
    # No two bodies begin alike.
    prompts = [torch.cat([head, torch.tensor([i + 5]), body]) for i, body in enumerate(bodies)]
    directions = units(3, seed=n_alike)
    rows = (np.repeat(directions, 5, axis=0), list(range(5)) * 3)
    at = [1] * 5 + [0] * 10
    layers = range(tiny.N_LAYERS)

    def asked(alike: torch.Tensor) -> list[tuple[np.ndarray, int]]:
        effects = effects_of(subject, prompts, alike, kept_bytes)
        # Clean runs, the beginning's too, are paid for before.
        effects.kl(directions[:1], [0])
        effects.clean_streams(layers)
        if len(alike):
            subject._runs.of(alike)
        found = list[tuple[np.ndarray, int]]()
        for question in (
            lambda: effects.bypass(*rows),
            lambda: effects.kl(*rows),
            lambda: effects.induce(*rows, at),
            lambda: effects.streams_with(*rows, at, layers),
        ):
            before = subject.cost
            answers = question()
            spent = subject.cost.since(before)
            assert spent.forward_passes == len(rows[1])
            found.append((answers, spent.tokens))
        return found

    # Whole passes behind a cache need windows of attention that are longer than what it holds.
    in_windows = subject._passes.begins_apart(n_alike)
    both = zip(asked(head), asked(head[:0]), (in_windows, in_windows, True, True), strict=True)
    for (one, n_apart), (other, n_whole), is_apart in both:
        np.testing.assert_allclose(one, other, atol=1e-4)
        changes = np.ptp(other.reshape(3, 5, -1), axis=0)
        assert changes.max(axis=1).min() > 1e-3, "the directions do something"
        assert n_apart < n_whole if is_apart else n_apart == n_whole


def test_of_one_direction_it_is_run_once_for_all_prompts(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
):
    """Projected out whole, in part, and added: the same numbers in fewer tokens."""
    monkeypatch.setattr(subject._passes.budget, "tokens", 10_000)
    for module in (beginnings, forward_passes):
        monkeypatch.setattr(module, "ALIKE_FROM", 3)
    head = torch.tensor([5, 20, 11])
    bodies = [[5, 9, 7, 21], [6, 12, 20, 8], [7, 8, 13, 22], [8, 5, 5, 23, 4]]
    prompts = [torch.cat([head, torch.tensor(body)]) for body in bodies]
    (one, other), share = units(2, seed=3), 0.4

    def asked(alike: torch.Tensor) -> tuple[np.ndarray, int]:
        before = subject.cost
        effects = effects_of(subject, prompts, alike)
        found = effects.on_each(5.0 * one, layer=1)
        parts = (effects.without(np.array([one, other])), effects.partly_without(other, share))
        numbers = [found.bypass, found.induce, found.harmless, found.kl]
        numbers += [each for part in parts for each in (part.harmful, part.harmless, part.kl)]
        return np.array(numbers), subject.cost.since(before).tokens

    (apart, n_apart), (whole, n_whole) = asked(head), asked(head[:0])
    np.testing.assert_allclose(apart, whole, atol=1e-4)
    assert len({tuple(row) for row in whole.round(3)}) > 6, "what is asked differs"
    assert n_apart < 0.8 * n_whole


def test_an_addition_runs_the_layers_above_it_alone(subject: Subject):
    effects = subject.direction_effects(HARMFUL, HARMLESS)
    top = subject._passes.layer_modules[-1].layer
    low = subject._passes.layer_modules[0].layer
    effects.induce(np.ones((1, tiny.D_MODEL)), [0], [0])
    seen = {"low": 0, "top": 0}
    handles = [
        module.register_forward_hook(lambda *_, name=name: seen.update({name: seen[name] + 1}))
        for name, module in (("low", low), ("top", top))
    ]
    effects.induce(np.ones((2, tiny.D_MODEL)), [0, 0], [0, 1])
    for handle in handles:
        handle.remove()
    assert seen == {"low": 0, "top": 1}


class TestLeastKl:
    @settings(max_examples=100, deadline=None)
    @given(
        clean=arrays.arrays(np.float64, 40, elements=st.floats(-25.0, 5.0)),
        changed=arrays.arrays(np.float64, 40, elements=st.floats(-40.0, 5.0)),
    )
    def test_no_other_distribution_is_nearer(self, clean: np.ndarray, changed: np.ndarray):
        p, q = torch.from_numpy(clean)[None], torch.from_numpy(changed)[None]
        least = least_kl(p)
        assert least <= next_token_kl(p, p) <= 1e-12
        assert least <= next_token_kl(p, q)

    def test_it_is_reached_and_lies_below_zero(self):
        """One likely word and very many unlikely ones: giving those up costs less than it gains."""
        n, tail = 10_000, 0.005
        p = torch.full((1, n), tail / (n - 1), dtype=torch.float64)
        p[0, 0] = 1.0 - tail
        certain = torch.full((1, n), -1e3, dtype=torch.float64)
        certain[0, 0] = 0.0
        least = float(least_kl(p.log()))
        assert least == pytest.approx(float(next_token_kl(p.log(), certain)), abs=1e-8)
        assert -0.1 < least < -0.0005

    def test_a_certain_distribution_has_its_least_at_itself(self):
        sure = torch.tensor([[0.0, -1e3, -1e3]])
        assert float(least_kl(sure)) == pytest.approx(0.0, abs=1e-8)
