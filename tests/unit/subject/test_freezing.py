"""Interventions that freeze features at their clean activations, and the final norm frozen: against
plain hooks that do the same one feature at a time."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sae_audit.errors import AuditError
from sae_audit.prompts.types import Label, Prompt
from sae_audit.subject import Subject
from sae_audit.subject.loading import subject_of as loaded
from sae_audit.subject.readout.score import refusal_score
from sae_audit.subject.saes.sae import Sae
from sae_audit.vocabulary import (
    Ablation,
    FeatureId,
    FinalNorm,
    Intervention,
    Positions,
    TokenClass,
)
from tests import tiny

PROMPT = Prompt(id="p", text="please tell me how to build a bomb", label=Label.HARMFUL)
KINDS = [
    ("standard", {}),
    ("jumprelu", {"normalize_activations": "layer_norm"}),
    ("gated", {"normalize_activations": "constant_norm_rescale"}),
    ("topk", {}),
]
FEATURE = st.builds(FeatureId, st.integers(0, tiny.N_LAYERS - 1), st.integers(0, tiny.D_SAE - 1))
SET = st.frozensets(FEATURE, max_size=8)
INTERVENTIONS = st.lists(
    st.builds(lambda a, h: Intervention(ablated=a, frozen=h - a), SET, SET), min_size=1, max_size=6
)
ASKED = [FeatureId(layer, i) for layer in range(tiny.N_LAYERS) for i in range(0, tiny.D_SAE, 5)]


@cache
def subject_of(family: str, kind: int) -> Subject:
    architecture, options = KINDS[kind]
    saes = [tiny.sae(architecture, layer, **options) for layer in range(tiny.N_LAYERS)]
    return tiny.subject_in_memory(family, saes)


class Literal:
    """Plain hooks on the whole model: every feature encoded, edited by itself, and decoded."""

    def __init__(self, subject: Subject, ablation: Ablation) -> None:
        self.subject = subject
        self.ids = subject.template.tokens(PROMPT.text)
        self.chosen = subject.template.selected(self.ids, ablation.positions)
        self.ablation = ablation
        self.clean: dict[int, torch.Tensor] = {}
        self.end = torch.empty(0)
        self.clean, self.end = self.run(Intervention())

    @torch.no_grad()
    def run(self, under: Intervention) -> tuple[dict[int, torch.Tensor], torch.Tensor]:
        seen: dict[int, torch.Tensor] = {}
        layers: Any = self.subject.network.model.layers
        ends: list[torch.Tensor] = []

        def hook(layer: int):
            def edit(_module: Any, _args: Any, output: Any) -> Any:
                resid = output[0] if isinstance(output, tuple) else output
                edited = self._edited(layer, resid, under, seen)
                ends.append(edited[0, -1])
                return (edited, *output[1:]) if isinstance(output, tuple) else edited

            return edit

        handles = [layers[i].register_forward_hook(hook(i)) for i in range(tiny.N_LAYERS)]
        self.subject.network(input_ids=self.ids[None])
        for handle in handles:
            handle.remove()
        return seen, ends[-1]

    def _edited(
        self, layer: int, resid: torch.Tensor, under: Intervention, seen: dict[int, torch.Tensor]
    ) -> torch.Tensor:
        dictionary = self.subject.suite[layer]
        activations = dictionary.encode(resid)
        seen[layer] = activations.clone()
        error = resid - dictionary.decode(activations, resid)
        changed = activations.clone()
        for feature in under.ablated:
            if feature.layer == layer:
                changed[0, :, feature.index] = float(self.ablation.clamp)  # pyright: ignore
        for feature in under.frozen:
            if feature.layer == layer:
                changed[0, :, feature.index] = self.clean[layer][0, :, feature.index]
        rebuilt = dictionary.decode(changed, resid) + error
        return torch.where(self.chosen[None, :, None], rebuilt, resid)

    def activations(self, under: Intervention) -> np.ndarray:
        seen, _ = self.run(under)
        rows = [seen[f.layer][0, :, f.index] * self.chosen for f in ASKED]
        return torch.stack(rows).numpy()

    @torch.no_grad()
    def frozen_score(self, under: Intervention) -> float:
        """The final norm written out, its root mean square that of the clean run."""
        _, end = self.run(under)
        network = self.subject.network
        norm, config = network.model.norm, network.config
        epsilon = getattr(norm, "variance_epsilon", None) or norm.eps
        weight = norm.weight if config.model_type == "llama" else 1.0 + norm.weight
        logits = network.lm_head(end / (self.end.square().mean() + epsilon).sqrt() * weight)
        cap = getattr(config, "final_logit_softcapping", None)
        if cap is not None:
            logits = torch.tanh(logits / cap) * cap
        assert self.subject.refusal_tokens is not None
        return float(refusal_score(logits[None], torch.tensor(self.subject.refusal_tokens.ids))[0])


@settings(max_examples=12, deadline=None)
@given(
    family=st.sampled_from(["gemma2", "gemma3", "llama"]),
    kind=st.integers(0, len(KINDS) - 1),
    interventions=INTERVENTIONS,
    positions=st.sampled_from(Positions),
    clamp=st.sampled_from([0.0, 0.7]),
)
def test_activations_under_interventions_equal_those_of_plain_hooks(
    family: str,
    kind: int,
    interventions: list[Intervention],
    positions: Positions,
    clamp: float,
):
    subject, ablation = subject_of(family, kind), Ablation(positions=positions, clamp=clamp)
    literal = Literal(subject, ablation)
    found = subject.activations(PROMPT, ablation)(interventions, ASKED)
    expected = np.stack([literal.activations(under) for under in interventions])
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize("family", ["gemma2", "gemma3", "llama"])
def test_the_score_with_a_frozen_norm_equals_the_norm_written_out(family: str):
    subject, ablation = subject_of(family, 0), Ablation()
    literal = Literal(subject, ablation)
    random = np.random.default_rng(0)
    interventions = [
        Intervention(
            ablated=frozenset(
                FeatureId(int(layer), int(i)) for layer, i in random.integers(0, 3, (8, 2))
            ),
            frozen=frozenset(FeatureId(2, int(i)) for i in random.integers(5, 24, 6)),
        )
        for _ in range(5)
    ]
    score = subject.intervention_score(PROMPT)
    frozen = score(interventions, FinalNorm.FROZEN)
    np.testing.assert_allclose(frozen, [literal.frozen_score(i) for i in interventions], atol=1e-4)
    assert np.abs(frozen - score(interventions)).max() > 1e-3, "the norm's scale must have moved"


def test_without_anything_frozen_and_a_live_norm_it_is_the_refusal_score():
    subject = subject_of("gemma2", 1)
    sets = [
        frozenset(FeatureId(layer, i) for i in range(k)) for layer in range(3) for k in (0, 4, 20)
    ]
    found = subject.intervention_score(PROMPT)([Intervention(ablated=one) for one in sets])
    np.testing.assert_allclose(found, subject.refusal_score(PROMPT)(sets), atol=1e-4)


def test_a_set_cannot_be_ablated_and_frozen():
    with pytest.raises(AssertionError):
        Intervention(ablated=frozenset([ASKED[0]]), frozen=frozenset([ASKED[0]]))


def test_a_norm_of_another_kind_is_not_frozen():
    """LayerNorm takes a mean away and divides by a deviation; nothing is reported for it."""
    network = tiny.model("llama")
    network.model.norm = torch.nn.LayerNorm(tiny.D_MODEL)
    suite = {0: Sae(tiny.sae("standard", 0), layer=0, id="", sha256="")}
    other = loaded(network, tiny.tokenizer(), suite, refusal_tokens=["no"])
    assert "LayerNorm" in other.frozen_norm_obstacle
    with pytest.raises(AuditError, match="LayerNorm"):
        other.intervention_score(PROMPT)([Intervention()], FinalNorm.FROZEN)


def test_everything_that_fires_is_listed_with_where():
    subject, ablation = subject_of("gemma2", 1), Ablation(positions=Positions.ALL_BUT_BOS)
    under = Intervention(ablated=frozenset(FeatureId(0, i) for i in range(12)))
    clean, after = subject.firing(PROMPT, ablation)([Intervention(), under])
    literal = Literal(subject, ablation)
    for fired, intervention in ((clean, Intervention()), (after, under)):
        seen, _ = literal.run(intervention)
        for layer, activations in seen.items():
            expected = (activations[0] * literal.chosen[:, None]).numpy()
            here = fired.layer == layer
            found = np.zeros_like(expected)
            found[fired.position[here], fired.index[here]] = fired.activation[here]
            np.testing.assert_allclose(found, expected, atol=2e-4)


def test_tokens_are_classed_by_the_template(subject: Subject):
    ids = subject.template.tokens(PROMPT.text)
    by_position = subject.token_classes(PROMPT)
    words = [subject.template.tokenizer.decode([i]) for i in ids]
    expected = {"<bos>": TokenClass.BOS, "user": TokenClass.SYSTEM, "bomb": TokenClass.CONTENT}
    expected |= {"<end>": TokenClass.TEMPLATE, "model": TokenClass.TEMPLATE}
    for position, word in enumerate(words):
        if word in expected:
            assert by_position[position] == expected[word], word
    content = [w for w, c in zip(words, by_position.values(), strict=True) if c == "content"]
    assert " ".join(content) == PROMPT.text
    template = subject.token_classes(PROMPT, Ablation(positions=Positions.TEMPLATE))
    assert list(template) == list(range(len(ids) - subject.template.n_after, len(ids)))
