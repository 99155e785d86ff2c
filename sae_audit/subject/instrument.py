"""The subject: a model with its SAE suite, and the questions an audit asks of the two.

Every question is a method here; hooks, batches and tensors stay behind it, and what comes back is
numpy and the project's own types.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_audit.findings import SaeQuality
from sae_audit.prompts.types import Prompt
from sae_audit.subject import collateral, projection, readings
from sae_audit.subject.ablation import ablation_edit, check_features, sets_by_layer
from sae_audit.subject.chat import Template
from sae_audit.subject.cost import CostMeter
from sae_audit.subject.dictionaries import Dictionary, decoder_cosines
from sae_audit.subject.hooks import Edit
from sae_audit.subject.passes import Passes
from sae_audit.subject.reference import reference_scores
from sae_audit.subject.refusal_tokens import RefusalTokens
from sae_audit.subject.score import refusal_score
from sae_audit.vocabulary import Ablation, Active, FeatureId, FeatureSet, Pull, Score

_KEEP = Ablation()
_NOTHING: FeatureSet = frozenset()


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which checkpoint this is."""

    id: str
    path: str
    revision: str
    sha256: str
    architecture: str
    dtype: str
    device: str


class Subject:
    """The model under audit with its SAE suite."""

    def __init__(
        self,
        *,
        identity: Identity,
        passes: Passes,
        template: Template,
        suite: dict[int, Dictionary],
        refusal_tokens: RefusalTokens | None,
        d_model: int,
    ) -> None:
        self.identity = identity
        self.template = template
        self.suite = suite
        self.refusal_tokens = refusal_tokens
        self.n_layers = len(passes.places)
        self.d_model = d_model
        self._passes = passes

    @property
    def layers(self) -> list[int]:
        """The audited layers: those with an SAE."""
        return sorted(self.suite)

    @property
    def cost(self) -> CostMeter:
        """Forward passes and tokens spent so far."""
        return self._passes.cost.copy()

    @property
    def accelerator(self) -> str:
        """Name of the GPU; empty on other devices."""
        device = self._passes.device
        return torch.cuda.get_device_name(device) if device.type == "cuda" else ""

    def peak_device_memory(self) -> int:
        """Most bytes allocated on the GPU so far; 0 on other devices."""
        device = self._passes.device
        return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0

    # Scores

    def clean_scores(self, prompts: Sequence[Prompt]) -> Float[np.ndarray, " prompt"]:
        """Refusal score of the unablated model on each prompt, nats."""
        scores = np.zeros(len(prompts))
        for members, ids in self._passes.batches(self._tokens(prompts)):
            logits = self._passes.last_logits(ids)
            scores[members] = refusal_score(logits, self._token_ids()).cpu().numpy()
        return scores

    def refusal_score(
        self,
        prompt: Prompt,
        ablation: Ablation = _KEEP,
        *,
        error_layers: frozenset[int] = frozenset(),
    ) -> Score:
        """The set function of one prompt: feature sets in, refusal scores (nats) out.

        Sets share batches. With the error term dropped, the stream is replaced by the
        reconstruction at layers where a set has features, and at `error_layers` always.

        Raises (when called):
            AuditError: a feature that no loaded SAE has.
        """
        ids = self.template.tokens(prompt.text).to(self._passes.device)
        known: dict[FeatureSet, float] = {}

        def score(sets: Sequence[FeatureSet]) -> Float[np.ndarray, " set"]:
            check_features(sets, self.suite)
            new = [ablated for ablated in dict.fromkeys(sets) if ablated not in known]
            size = self._passes.rows_per_batch(len(ids))
            for start in range(0, len(new), size):
                chunk = new[start : start + size]
                logits = self._passes.last_logits(
                    ids.expand(len(chunk), -1),
                    outputs=self._by_module(self._edits(ids, chunk, ablation, error_layers)),
                )
                scores = refusal_score(logits, self._token_ids()).tolist()
                known.update(zip(chunk, scores, strict=True))
            return np.array([known[ablated] for ablated in sets])

        return score

    def reference_score(self, prompt: Prompt, ablation: Ablation = _KEEP) -> Score:
        """The same question answered literally: plain hooks, whole encode and decode, one set a pass."""
        ids = self.template.tokens(prompt.text).to(self._passes.device)
        selected = self.template.selected(ids.cpu(), ablation.positions).nonzero()[:, 0]

        def score(sets: Sequence[FeatureSet]) -> Float[np.ndarray, " set"]:
            check_features(sets, self.suite)
            return reference_scores(
                self._passes.model, self.suite, ids, selected, self._token_ids(), sets, ablation
            )

        return score

    # Features

    def active(self, prompt: Prompt, ablation: Ablation = _KEEP) -> Active:
        """Which features of the whole suite fire on one prompt while a set is ablated.

        A feature fires if its activation is above 0 at any position at which `ablation` acts.
        """
        ids = self.template.tokens(prompt.text).to(self._passes.device)
        selected = self.template.selected(ids.cpu(), ablation.positions).to(ids.device)

        def active(sets: Sequence[FeatureSet]) -> list[Mapping[FeatureId, float]]:
            check_features(sets, self.suite)
            firing: list[dict[FeatureId, float]] = [{} for _ in sets]

            def note(start: int, layer: int, peak: Float[Tensor, "batch d_sae"]) -> None:
                rows, indices = peak.nonzero(as_tuple=True)
                values = peak[rows, indices].tolist()
                for row, index, value in zip(rows.tolist(), indices.tolist(), values, strict=True):
                    firing[start + row][FeatureId(layer, index)] = value

            for start, chunk in self._chunks(sets, len(ids)):
                self._passes.read(
                    ids.expand(len(chunk), -1),
                    self.layers,
                    lambda layer, resid, start=start: note(
                        start, layer, readings.peaks(self.suite[layer].encode(resid), selected)
                    ),
                    edits=self._edits(ids, chunk, ablation),
                )
            return list(firing)

        return active

    def pull(
        self, prompt: Prompt, direction: Float[np.ndarray, " d_model"], ablation: Ablation = _KEEP
    ) -> Pull:
        """How strongly features push this prompt's stream along `direction`."""
        ids = self.template.tokens(prompt.text).to(self._passes.device)
        unit = self._unit(direction)

        def pull(
            ablated: FeatureSet, features: Sequence[FeatureId]
        ) -> Float[np.ndarray, " feature"]:
            check_features([ablated, frozenset(features)], self.suite)
            pulls: dict[FeatureId, float] = {}

            def note(layer: int, resid: Float[Tensor, "batch position d_model"]) -> None:
                index = [f.index for f in features if f.layer == layer]
                activations = self.suite[layer].encode(resid)[0][:, index].sum(dim=0)
                rows = self.suite[layer].decoder[index].float() @ unit
                for i, value in zip(index, (activations * rows).tolist(), strict=True):
                    pulls[FeatureId(layer, i)] = value

            self._passes.read(
                ids[None],
                sorted({feature.layer for feature in features}),
                note,
                edits=self._edits(ids, [ablated], ablation),
            )
            return np.array([pulls[feature] for feature in features])

        return pull

    def decoder_cosines(
        self, direction: Float[np.ndarray, " d_model"]
    ) -> dict[int, Float[np.ndarray, " d_sae"]]:
        """Cosine of every decoder row with a direction, by layer."""
        vector = torch.tensor(direction, dtype=torch.float32, device=self._passes.device)
        return {
            layer: decoder_cosines(dictionary, vector).cpu().numpy()
            for layer, dictionary in self.suite.items()
        }

    def peak_activations(
        self, prompts: Sequence[Prompt]
    ) -> dict[int, Float[np.ndarray, "prompt d_sae"]]:
        """Largest clean activation over positions of every feature on every prompt, by layer."""
        return readings.peak_activations(self._passes, self.suite, self._tokens(prompts))

    def sae_quality(self, prompts: Sequence[Prompt]) -> list[SaeQuality]:
        """Explained variance and L0 of each SAE on this model's activations, all positions."""
        return readings.sae_quality(self._passes, self.suite, self._tokens(prompts))

    # Directions

    def mean_residuals(
        self, prompts: Sequence[Prompt]
    ) -> Float[np.ndarray, "layer template d_model"]:
        """Mean `resid_post` of every layer at the template positions, accumulated in float64.

        Position axis: the last entry is the prompt's last token (template position -1).
        """
        return readings.mean_residuals(
            self._passes, self._tokens(prompts), n_positions=self.template.n_after
        )

    def direction_effects(
        self, harmful: Sequence[Prompt], harmless: Sequence[Prompt]
    ) -> projection.DirectionEffects:
        """What projecting candidate directions out, or adding them, does to these prompts."""
        return projection.DirectionEffects(
            self._passes, self._tokens(harmful), self._tokens(harmless), self._token_ids()
        )

    # Side effects

    def collateral(
        self, prompts: Sequence[Prompt], ablation: Ablation = _KEEP, *, n_tokens: int = 16
    ) -> Callable[[FeatureSet], tuple[collateral.Change, ...]]:
        """What ablating a set changes on each of these (harmless) prompts.

        Compares next-token distributions at the end of the prompt, and the cross-entropy of the
        clean model's own greedy answer of up to `n_tokens`.
        """
        answered = collateral.clean_answers(
            self._passes, self._tokens(prompts), n_tokens, self.template.tokenizer.eos_token_id
        )

        def changes(ablated: FeatureSet) -> tuple[collateral.Change, ...]:
            check_features([ablated], self.suite)
            return tuple(
                collateral.change(
                    self._passes,
                    answer,
                    self._by_module(
                        self._edits(answer.ids, [ablated], ablation, n_prompt=answer.n_prompt)
                    ),
                )
                for answer in answered
            )

        return changes

    def completions(self, prompts: Sequence[Prompt], n_tokens: int) -> tuple[list[int], list[str]]:
        """Greedy answers of the unablated model: first token ids, and texts."""
        first = [0] * len(prompts)
        texts = [""] * len(prompts)
        for members, ids in self._passes.batches(self._tokens(prompts)):
            produced = self._passes.generate(ids, n_tokens).tolist()
            for i, answer in zip(members, produced, strict=True):
                first[i] = answer[0]
                texts[i] = self.template.tokenizer.decode(answer, skip_special_tokens=True)
        return first, texts

    # Inside

    def _tokens(self, prompts: Iterable[Prompt]) -> list[Int[Tensor, " _"]]:
        return [self.template.tokens(prompt.text) for prompt in prompts]

    def _token_ids(self) -> Int[Tensor, " token"]:
        assert self.refusal_tokens is not None, (
            "refusal tokens are found when the subject is loaded"
        )
        return torch.tensor(self.refusal_tokens.ids, device=self._passes.device)

    def _unit(self, direction: Float[np.ndarray, " d_model"]) -> Float[Tensor, " d_model"]:
        vector = torch.tensor(direction, dtype=torch.float32, device=self._passes.device)
        return vector / vector.norm()

    def _edits(
        self,
        ids: Int[Tensor, " position"],
        sets: Sequence[FeatureSet],
        ablation: Ablation,
        error_layers: frozenset[int] = frozenset(),
        n_prompt: int | None = None,
    ) -> dict[int, Edit]:
        # An answer's tokens count as what follows the template: ablated wherever the template is.
        prompt = ids[:n_prompt].cpu()
        positions = self.template.selected(prompt, ablation.positions)
        answer = torch.ones(len(ids) - len(prompt), dtype=torch.bool)
        positions = torch.cat([positions, answer]).to(ids.device)
        layered = sets_by_layer(sets, error_layers, ids.device)
        return {
            layer: ablation_edit(self.suite[layer], here, ablation=ablation, positions=positions)
            for layer, here in layered.items()
        }

    def _by_module(self, edits: Mapping[int, Edit]) -> dict[torch.nn.Module, Edit]:
        return {self._passes.places[layer].layer: edit for layer, edit in edits.items()}

    def _chunks(
        self, sets: Sequence[FeatureSet], length: int
    ) -> Iterable[tuple[int, Sequence[FeatureSet]]]:
        size = self._passes.rows_per_batch(length)
        for start in range(0, len(sets), size):
            yield start, sets[start : start + size]
