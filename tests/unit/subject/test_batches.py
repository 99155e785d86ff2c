"""Prompts of unequal length share a batch, and no number of theirs knows of it."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import MixtralConfig, MixtralForCausalLM, Phi3Config, Phi3ForCausalLM

from sae_audit.findings import SaeQuality
from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject
from sae_audit.subject.intervention.readings import mean_activations, peak_activations
from sae_audit.subject.model.batches import MOST_PADDING, batch_of, grouped, padded_up_to
from sae_audit.subject.model.budget import Budget
from sae_audit.subject.model.forward_passes import ForwardPasses
from sae_audit.subject.model.layer_modules import layer_modules
from sae_audit.vocabulary import Part
from tests import tiny

LENGTHS = [3, 9, 4, 8, 8, 5, 10]
ROWS = [torch.arange(3, 3 + n) for n in LENGTHS]
PROMPTS = [
    Prompt(id=str(i), text=text, label=Label.HARMFUL)
    for i, text in enumerate(
        ["steal a car", "please tell me how to build a bomb", "bomb", "paint the fence", "wash"]
    )
]


class TestGrouping:
    @given(
        lengths=st.lists(st.integers(1, 60), max_size=40),
        tokens=st.integers(1, 300),
        limit=st.integers(1, 60),
        padding=st.sampled_from([0, 20]),
    )
    def test_everyone_is_in_one_group_that_holds_what_it_may(
        self, lengths: list[int], tokens: int, limit: int, padding: int
    ):
        groups = grouped(lengths, tokens=tokens, padded_up_to=limit, padding=padding)
        assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
        for group in groups:
            own = [lengths[i] for i in group]
            size = len(own) * max(own)
            assert size <= tokens or len(own) == 1
            assert size <= (1 + MOST_PADDING) * sum(own) + padding
            assert len(set(own)) == 1 or max(own) <= limit
        assert all(
            max(lengths[i] for i in one) <= min(lengths[i] for i in other)
            for one, other in pairwise(groups)
        )

    def test_by_hand(self):
        # 10 and 12 pad 2 of 22; 16 beside both would pad 10 of 38, more than a fifth.
        assert grouped([16, 10, 12, 17]) == [[1, 2], [0, 3]]
        # It is 2.4 more than a fifth, and 2 more with 17.
        assert grouped([16, 10, 12, 17], padding=2) == [[1, 2], [0, 3]]
        assert grouped([16, 10, 12, 17], padding=3) == [[1, 2, 0, 3]]
        assert grouped([16, 10, 12, 17], tokens=20) == [[1], [2], [0], [3]]
        assert grouped([5, 5, 6], padded_up_to=5) == [[0, 1], [2]]

    def test_sixty_four_prompts_are_a_few_batches(self):
        lengths = [12 + i // 2 for i in range(64)]
        assert len(set(lengths)) == 32
        assert len(grouped(lengths)) <= 5


def passes_of(network: Any) -> ForwardPasses:
    network = network.eval().requires_grad_(requires_grad=False)
    return ForwardPasses(network, layer_modules(network), Budget(1 << 12, 1))


def mixtral() -> Any:
    """Experts are chosen for each position apart."""
    torch.manual_seed(0)
    return MixtralForCausalLM(
        MixtralConfig(
            vocab_size=32,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            num_local_experts=4,
            sliding_window=4,
            initializer_range=0.3,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        )
    )


KINDS = [
    ("gemma2", "eager"),  # sdpa does not know its soft-capping
    ("gemma3", "eager"),
    ("gemma3", "sdpa"),
    ("llama", "eager"),
    ("llama", "sdpa"),
    ("mixtral", "eager"),
    ("mixtral", "sdpa"),
]
FAMILIES: dict[str, Callable[[], Any]] = {
    "gemma2": lambda: tiny.model("gemma2"),
    "gemma3": lambda: tiny.model("gemma3"),
    "llama": lambda: tiny.model("llama"),
    "mixtral": mixtral,
}


class TestPasses:
    @pytest.mark.parametrize(("family", "attention"), KINDS)
    def test_padding_behind_changes_no_number(self, family: str, attention: str):
        """With windows of 4 positions and soft-capped logits among them."""
        network = FAMILIES[family]()
        network.set_attn_implementation(attention)
        passes = passes_of(network)
        one = batch_of(ROWS, range(len(ROWS)), padded_in_front=False, device=passes.device)
        found = passes.last_logits(one.ids, lengths=one.lengths)
        alone = torch.cat([passes.last_logits(row[None]) for row in ROWS])
        torch.testing.assert_close(found, alone, atol=2e-5, rtol=1e-5)
        wrong = passes.last_logits(one.ids)
        assert not torch.allclose(wrong, alone, atol=1e-2), "read at the padding"

    @pytest.mark.parametrize(("family", "attention"), KINDS)
    def test_answers_of_unequal_prompts_are_those_of_each_alone(self, family: str, attention: str):
        network = FAMILIES[family]()
        network.set_attn_implementation(attention)
        network.generation_config.eos_token_id = None
        passes = passes_of(network)
        one = batch_of(ROWS, range(len(ROWS)), padded_in_front=True, device=passes.device)
        alone = [passes.generate(row[None], 6)[0] for row in ROWS]
        assert passes.generate(one.ids, 6, lengths=one.lengths) == alone
        assert passes.generate(one.ids, 6) != alone, "padding that is attended to"

    def test_a_rotary_that_knows_the_longest_row_is_given_equal_lengths(self):
        """Phi-3's turns every position otherwise once a row is longer than it was trained on."""
        half = 2
        config = Phi3Config(
            vocab_size=32,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
            original_max_position_embeddings=8,
            rope_parameters={
                "rope_type": "longrope",
                "rope_theta": 10_000.0,
                "short_factor": [1.0] * half,
                "long_factor": [4.0] * half,
            },
            initializer_range=0.3,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        )
        assert padded_up_to(config) == 8
        assert padded_up_to(tiny.model("llama").config) == math.inf
        torch.manual_seed(0)
        passes = passes_of(Phi3ForCausalLM(config))
        rows = [torch.arange(3, 3 + n) for n in (8, 9, 9, 7)]
        found: dict[int, torch.Tensor] = {}
        for batch in passes.batches(rows):
            logits = passes.last_logits(batch.ids, lengths=batch.lengths)
            found.update(zip(batch.members, logits, strict=True))
        for i, row in enumerate(rows):
            torch.testing.assert_close(found[i], passes.last_logits(row[None])[0])
        together = batch_of(rows, range(4), padded_in_front=False, device=passes.device)
        wrong = passes.last_logits(together.ids, lengths=together.lengths)
        assert not torch.allclose(wrong[0], found[0], atol=1e-3)


@pytest.fixture(scope="module", params=["gemma2", "llama"])
def one_batch(request: pytest.FixtureRequest) -> Subject:
    """A subject whose prompts are put into one batch, whatever that pads."""
    suite = [tiny.sae("jumprelu", layer) for layer in range(tiny.N_LAYERS)]
    return tiny.subject_in_memory(request.param, suite)


@pytest.fixture
def padded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sae_audit.subject.model.batches.MOST_PADDING", 9.0)


def alone(ask: Callable[[list[Prompt]], Any]) -> list[Any]:
    return [ask([prompt]) for prompt in PROMPTS]


@pytest.mark.usefixtures("padded")
class TestReadings:
    """Each over one padded batch, against each prompt alone."""

    def test_it_is_one_batch(self, one_batch: Subject):
        tokens = one_batch._tokens(PROMPTS)
        assert len(list(one_batch._passes.batches(tokens))) == 1
        assert len({len(ids) for ids in tokens}) == 3

    def test_scores(self, one_batch: Subject):
        scores = alone(one_batch.clean_scores)
        np.testing.assert_allclose(
            one_batch.clean_scores(PROMPTS), np.concatenate(scores), atol=1e-5
        )

    def test_means(self, one_batch: Subject):
        means = alone(one_batch.mean_residuals)
        together = one_batch.mean_residuals(PROMPTS)
        np.testing.assert_allclose(together, np.mean(means, axis=0), atol=1e-5)
        groups = one_batch.group_means(PROMPTS, range(len(PROMPTS)), n_groups=len(PROMPTS))
        np.testing.assert_allclose(groups, np.stack(means), atol=1e-5)

    @pytest.mark.parametrize("position", [-1, -3])
    def test_residuals(self, one_batch: Subject, position: int):
        def ask(prompts: list[Prompt]) -> Any:
            return one_batch.residuals_at(prompts, layer=1, position=position)

        np.testing.assert_allclose(ask(PROMPTS), np.concatenate(alone(ask)), atol=1e-5)

    def test_activations(self, one_batch: Subject):
        passes, suite = one_batch._passes, one_batch.suite
        tokens = one_batch._tokens(PROMPTS)
        together = peak_activations(passes, suite, tokens)
        for i, ids in enumerate(tokens):
            for layer, peaks in peak_activations(passes, suite, [ids]).items():
                np.testing.assert_allclose(together[layer][i], peaks[0], atol=1e-4)
        masks = [torch.arange(len(ids)) >= 2 for ids in tokens]
        means = mean_activations(passes, suite, tokens, masks)
        sums = dict.fromkeys(suite, 0.0)
        for ids, mask in zip(tokens, masks, strict=True):
            own = mean_activations(passes, suite, [ids], [mask])
            sums = {layer: sums[layer] + own[layer] * int(mask.sum()) for layer in suite}
        for layer, total in sums.items():
            n = sum(int(mask.sum()) for mask in masks)
            np.testing.assert_allclose(means[layer], total / n, atol=1e-5)

    def test_components(self, one_batch: Subject):
        units = np.eye(tiny.D_MODEL)[:2]

        def ask(prompts: list[Prompt]) -> Any:
            return one_batch.projections(prompts, units, position=-2)

        together, each = ask(PROMPTS), alone(ask)
        for layer, found in together.items():
            own = [one[layer] for one in each]
            for name in ("stream", "reconstruction"):
                expected = np.concatenate([getattr(one, name) for one in own])
                np.testing.assert_allclose(getattr(found, name), expected, atol=1e-4)
            assert found.length == pytest.approx(np.mean([one.length for one in own]), rel=1e-5)

    def test_replaced_parts(self, one_batch: Subject, monkeypatch: pytest.MonkeyPatch):
        units = np.eye(tiny.D_MODEL)[:1]
        parts = one_batch.replaced_parts(PROMPTS, PROMPTS[:2], units)
        together = {part: parts(part, 0) for part in Part}
        monkeypatch.setattr("sae_audit.subject.model.batches.MOST_PADDING", 0.0)
        parts = one_batch.replaced_parts(PROMPTS, PROMPTS[:2], units)
        for part, found in together.items():
            np.testing.assert_allclose(found, parts(part, 0), atol=1e-4)

    def test_quality(self, one_batch: Subject, monkeypatch: pytest.MonkeyPatch):
        def numbers(found: list[SaeQuality]) -> list[float]:
            measured = [
                getattr(one, name)
                for one in found
                for name in ("explained_variance", "explained_variance_rotated", "l0", "ce_clean")
            ]
            return [one.value for one in measured]

        together = numbers(one_batch.sae_quality(PROMPTS, seed=0))
        monkeypatch.setattr("sae_audit.subject.model.batches.MOST_PADDING", 0.0)
        each = numbers(one_batch.sae_quality(PROMPTS, seed=0))
        np.testing.assert_allclose(together, each, rtol=1e-4)
