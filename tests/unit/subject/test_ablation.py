"""Ablation against hand computation, and questions that are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from sae_audit.errors import AuditError
from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject, load_subject
from sae_audit.vocabulary import Ablation, ErrorTerm, FeatureId
from tests import tiny

PROMPT = Prompt(id="p", text="please tell me how to build a bomb", label=Label.HARMFUL)


class TestByHand:
    """Two layers that add nothing: the stream is the embedding all the way, so what an ablation
    must leave can be written down."""

    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("by_hand")
        torch.manual_seed(0)
        words = tiny.tokenizer()
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(words),
                hidden_size=4,
                intermediate_size=8,
                num_hidden_layers=2,
                num_attention_heads=1,
                num_key_value_heads=1,
                tie_word_embeddings=False,
                rms_norm_eps=1e-6,
                initializer_range=1.0,
            )
        )
        with torch.no_grad():
            layer: Any
            for layer in model.model.layers:
                layer.self_attn.o_proj.weight.zero_()
                layer.mlp.down_proj.weight.zero_()
        model.save_pretrained(folder)
        words.save_pretrained(folder)
        from sae_lens.saes import StandardSAE, StandardSAEConfig

        for layer in range(2):
            sae = StandardSAE(StandardSAEConfig(d_in=4, d_sae=3, device="cpu"))
            with torch.no_grad():
                # f_0 = relu(x_0), f_1 = relu(x_1 + 0.5), f_2 = relu(-x_0); rows as below.
                sae.W_enc.copy_(torch.tensor([[1.0, 0, -1], [0, 1, 0], [0, 0, 0], [0, 0, 0]]))
                sae.b_enc.copy_(torch.tensor([0.0, 0.5, 0.0]))
                sae.W_dec.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 0.6, 0.8, 0], [0, 0, 0, 1.0]]))
                sae.b_dec.zero_()
            sae.cfg.metadata.hook_name = f"blocks.{layer}.hook_resid_post"
            sae.save_model(folder / "saes" / f"layer_{layer}")
        return folder

    def expected(self, folder: Path, removed: list[tuple[int, float]], scale: float = 1.0) -> float:
        """The score by numpy: the last token's embedding less each removed (feature, clamp)."""
        model = LlamaForCausalLM.from_pretrained(folder)
        last = tiny.tokenizer().convert_tokens_to_ids("model")
        x = model.model.embed_tokens.weight[last].detach().double().numpy().copy()
        rows = np.array([[1.0, 0, 0, 0], [0, 0.6, 0.8, 0], [0, 0, 0, 1.0]])
        for feature, clamp in removed:
            f = [max(x[0], 0.0), max(x[1] + 0.5, 0.0), max(-x[0], 0.0)][feature]
            x = x - scale * (f - clamp) * rows[feature]
        normed = x / np.sqrt((x**2).mean() + 1e-6)
        logits = model.lm_head.weight.detach().double().numpy() @ normed
        p = np.exp(logits - logits.max())
        p = p / p.sum()
        refusing = p[[tiny.tokenizer().convert_tokens_to_ids(w) for w in ("no", "never")]].sum()
        return float(np.log(refusing + 1e-8) - np.log(1 - refusing + 1e-8))

    def subject(self, folder: Path) -> Subject:
        return load_subject(
            str(folder), str(folder / "saes"), device="cpu", refusal_tokens=["no", "never"]
        )

    def test_no_ablation(self, folder: Path):
        score = self.subject(folder).refusal_score(PROMPT)
        assert score([frozenset()])[0] == pytest.approx(self.expected(folder, []), abs=1e-5)

    @pytest.mark.parametrize("feature", [0, 1, 2])
    @pytest.mark.parametrize("clamp", [0.0, -2.0])
    def test_one_feature(self, folder: Path, feature: int, clamp: float):
        score = self.subject(folder).refusal_score(PROMPT, Ablation(clamp=clamp))
        by_hand = self.expected(folder, [(feature, clamp)])
        assert score([frozenset([FeatureId(0, feature)])])[0] == pytest.approx(by_hand, abs=1e-5)

    @pytest.mark.parametrize("feature", [0, 1, 2])
    @pytest.mark.parametrize("scale", [0.0, 0.4, 1.0, 3.0])
    def test_one_feature_by_a_dose(self, folder: Path, feature: int, scale: float):
        """A share of the way to the clamp, or past it."""
        score = self.subject(folder).refusal_score(PROMPT, Ablation(clamp=0.25, scale=scale))
        by_hand = self.expected(folder, [(feature, 0.25)], scale)
        assert score([frozenset([FeatureId(0, feature)])])[0] == pytest.approx(by_hand, abs=1e-5)

    def test_a_later_layer_feels_an_earlier_ablation(self, folder: Path):
        """Feature 1 of layer 0 lowers x_1, so feature 1 of layer 1 has less left to remove."""
        score = self.subject(folder).refusal_score(PROMPT)
        both = frozenset([FeatureId(0, 1), FeatureId(1, 1)])
        by_hand = self.expected(folder, [(1, 0.0), (1, 0.0)])
        assert score([both])[0] == pytest.approx(by_hand, abs=1e-5)


class TestRefusals:
    def test_a_feature_out_of_range(self, subject: Subject):
        with pytest.raises(AuditError, match=r"L1/24 does not exist.*24 features, 0 to 23"):
            subject.refusal_score(PROMPT)([frozenset([FeatureId(1, 24)])])

    def test_a_layer_without_an_sae(self, subject: Subject):
        with pytest.raises(AuditError, match="layer 7, which has no loaded SAE"):
            subject.refusal_score(PROMPT)([frozenset([FeatureId(7, 0)])])

    def test_an_error_to_replace_where_there_is_no_sae(self, subject: Subject):
        dropped = Ablation(error_term=ErrorTerm.DROPPED)
        with pytest.raises(AuditError, match="Layer 7 has no loaded SAE"):
            subject.refusal_score(PROMPT, dropped, error_layers=frozenset([7]))

    def test_layers_to_replace_an_error_that_is_kept(self, subject: Subject):
        with pytest.raises(AuditError, match="the error term is kept"):
            subject.refusal_score(PROMPT, error_layers=frozenset([1]))

    def test_a_clamp_that_is_no_number(self, subject: Subject):
        with pytest.raises(AuditError, match="must be a finite number"):
            subject.refusal_score(PROMPT, Ablation(clamp=float("nan")))

    @pytest.mark.parametrize("scale", [float("inf"), float("nan"), -0.5])
    def test_a_dose_that_is_no_share(self, subject: Subject, scale: float):
        with pytest.raises(AuditError, match="scale must be a finite number, 0 or more"):
            subject.refusal_score(PROMPT, Ablation(scale=scale))

    def test_clamps_that_miss_a_layer_or_a_feature(self, subject: Subject):
        clamp = {0: np.zeros(tiny.D_SAE), 1: np.zeros(3)}
        with pytest.raises(AuditError, match=r"24 features of layer 1, and has \(3,\)"):
            subject.refusal_score(PROMPT, Ablation(clamp=clamp))


def test_no_hook_is_left_when_a_pass_fails(subject: Subject):
    from sae_audit.subject.model.hooks import edited

    layer = subject._passes.layer_modules[0].layer

    def broken(_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("layer 9 does not exist")

    with pytest.raises(RuntimeError), edited(outputs={layer: broken}):
        subject.clean_scores([PROMPT])
    assert not layer._forward_hooks
