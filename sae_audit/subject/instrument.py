"""The subject: a model with its SAE suite, and the questions an audit asks of the two.

Every question is a method here; hooks, batches and tensors stay behind it, and what comes back is
numpy and the project's own types.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_audit.findings import SaeQuality
from sae_audit.prompts.types import Prompt
from sae_audit.subject import collateral, generation, projection, quality, readings
from sae_audit.subject.ablation import check_ablation, check_features
from sae_audit.subject.attribution import attribution
from sae_audit.subject.attribution_ablated import POINTS, attribution_once_ablated
from sae_audit.subject.chat import Template
from sae_audit.subject.clean_run import CleanRun, CleanRuns
from sae_audit.subject.components import Components, ReplacedParts
from sae_audit.subject.cost import CostMeter
from sae_audit.subject.dictionaries import Dictionary, decoder_cosines
from sae_audit.subject.firing import active_on, pull_on
from sae_audit.subject.interventions import Interventions
from sae_audit.subject.passes import Passes
from sae_audit.subject.reference import reference_scores
from sae_audit.subject.refusal_tokens import RefusalTokens
from sae_audit.subject.score import refusal_score
from sae_audit.subject.scoring import Scorer
from sae_audit.subject.stack import Stack
from sae_audit.subject.sweep import Sweeper
from sae_audit.vocabulary import (
    Ablation,
    Active,
    FeatureId,
    FeatureSet,
    Positions,
    Projections,
    Pull,
    Score,
)

_KEEP = Ablation()
_NOTHING: FeatureSet = frozenset()


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which checkpoint this is."""

    id: str
    revision: str
    """Commit of the hub repository; empty for a folder."""
    sha256: str
    architecture: str
    dtype: str
    device: str
    adapter_revision: str = ""


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
        self._stack = Stack(passes.model, passes.places)
        self._runs = CleanRuns(self._clean_run, self._stack.check)
        self._interventions = Interventions(passes, suite, template, self._runs)

    @property
    def layers(self) -> list[int]:
        """The audited layers: those with an SAE."""
        return sorted(self.suite)

    @property
    def network(self) -> Any:
        """The Hugging Face model itself, for what an audit does not ask."""
        return self._passes.model

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

        The clean pass is made once; what an ablation leaves as it was is not run again, sets share
        batches, and answers are remembered. Where the error term is not kept it is replaced at the
        layers where a set has features, and at `error_layers` always.

        Raises:
            AuditError: an ablation that cannot be carried out; when called, a feature that no
                loaded SAE has.
        """
        ask = self.refusal_scores(ablation, error_layers=error_layers)

        def score(sets: Sequence[FeatureSet]) -> Float[np.ndarray, " set"]:
            return ask([(prompt, ablated) for ablated in sets])

        return score

    def refusal_scores(
        self, ablation: Ablation = _KEEP, *, error_layers: frozenset[int] = frozenset()
    ) -> Callable[[Sequence[tuple[Prompt, FeatureSet]]], Float[np.ndarray, " question"]]:
        """The same for questions about several prompts, which share batches too."""
        check_ablation(ablation, self.suite, error_layers)
        passes = self._passes
        sweeper = self._sweeper(ablation, error_layers)
        scorer = Scorer(sweeper, self._runs, passes.budget, self._token_ids())

        def scores(
            questions: Sequence[tuple[Prompt, FeatureSet]],
        ) -> Float[np.ndarray, " question"]:
            check_features([ablated for _, ablated in questions], self.suite)
            places: dict[str, int] = {}
            ids: list[Int[Tensor, " _"]] = []
            for prompt, _ in questions:
                if prompt.text not in places:
                    places[prompt.text] = len(ids)
                    ids.append(self._interventions.ids(prompt))
            return scorer.ask(
                ids,
                [self._interventions.selected(tokens, ablation) for tokens in ids],
                [(places[prompt.text], ablated) for prompt, ablated in questions],
            )

        return scores

    def reference_score(
        self,
        prompt: Prompt,
        ablation: Ablation = _KEEP,
        *,
        error_layers: frozenset[int] = frozenset(),
    ) -> Score:
        """The same question answered literally: plain hooks, whole encode and decode, one set a pass."""
        check_ablation(ablation, self.suite, error_layers)
        ids = self._interventions.ids(prompt)
        selected = self._interventions.selected(ids, ablation).nonzero()[:, 0]

        def score(sets: Sequence[FeatureSet]) -> Float[np.ndarray, " set"]:
            check_features(sets, self.suite)
            return reference_scores(
                self._passes.model,
                self.suite,
                ids,
                selected,
                self._token_ids(),
                sets,
                ablation,
                error_layers,
            )

        return score

    def forget_clean_runs(self) -> None:
        """Free the memory of the prompts' clean passes; the next question makes its own anew."""
        self._runs.clear()

    def first_changes(
        self, prompt: Prompt, features: Iterable[FeatureId], ablation: Ablation = _KEEP
    ) -> dict[FeatureId, int | None]:
        """The first position at which ablating each feature alone changes the clean run, if any.

        Positions before the earliest one of a set's features are never run: causal attention
        leaves them as they were.
        """
        asked = sorted(features)
        check_features([frozenset(asked)], self.suite)
        ids = self._interventions.ids(prompt)
        return self._sweeper(ablation, frozenset()).first_changes(
            self._runs.of(ids), self._interventions.selected(ids, ablation), asked
        )

    # Features

    def active(self, prompt: Prompt, ablation: Ablation = _KEEP) -> Active:
        """Which features of the whole suite fire on one prompt while a set is ablated.

        A feature fires if its activation is above 0 at any position at which `ablation` acts.
        """
        return active_on(self._passes, self._interventions, prompt, ablation)

    def pull(
        self, prompt: Prompt, direction: Float[np.ndarray, " d_model"], ablation: Ablation = _KEEP
    ) -> Pull:
        """How strongly features push this prompt's stream along `direction`."""
        return pull_on(self._passes, self._interventions, prompt, direction, ablation)

    def attribution(
        self,
        prompt: Prompt,
        ablation: Ablation = _KEEP,
        *,
        steps: int = 1,
        ablated: FeatureSet = _NOTHING,
    ) -> dict[int, Float[np.ndarray, " d_sae"]]:
        """Estimated drop of the refusal score (nats) if each feature alone were ablated, by layer.

        To first order, from one backward pass; with `steps` above 1 by integrated gradients over
        that many points a layer (2505.23556 uses 10). Where a set is `ablated` already, each other
        feature's share in what ablating all of them too would do. A ranking, not a measurement.
        """
        check_ablation(ablation, self.suite, frozenset())
        ids = self._interventions.ids(prompt)
        if ablated:
            self._passes.cost.count(batch=POINTS, positions=len(ids))
            further = attribution_once_ablated(
                self._passes, self._interventions, ids, ablated, self._token_ids(), ablation
            )
            return {layer: drop.float().cpu().numpy() for layer, drop in further.items()}
        drops = attribution(
            self._stack,
            self.suite,
            self._runs.of(ids),
            self._interventions.selected(ids, ablation),
            self._token_ids(),
            ablation,
            steps=steps,
        )
        n_passes = 1 if steps == 1 else steps * len(self.suite)
        self._passes.cost.count(batch=n_passes, positions=len(ids))
        return {layer: drop.float().cpu().numpy() for layer, drop in drops.items()}

    def decoder_cosines(
        self, direction: Float[np.ndarray, " d_model"]
    ) -> dict[int, Float[np.ndarray, " d_sae"]]:
        """Cosine of every decoder row with a direction, by layer."""
        vector = torch.tensor(direction, dtype=torch.float32, device=self._passes.device)
        return {
            layer: decoder_cosines(dictionary, vector).cpu().numpy()
            for layer, dictionary in self.suite.items()
        }

    def mean_activations(
        self, prompts: Sequence[Prompt], ablation: Ablation = _KEEP
    ) -> dict[int, Float[np.ndarray, " d_sae"]]:
        """Mean clean activation of every feature over the positions `ablation` acts at, by layer."""
        ids = self._tokens(prompts)
        return readings.mean_activations(
            self._passes,
            self.suite,
            ids,
            [self._interventions.selected(one, ablation) for one in ids],
        )

    def peak_activations(
        self, prompts: Sequence[Prompt]
    ) -> dict[int, Float[np.ndarray, "prompt d_sae"]]:
        """Largest clean activation over positions of every feature on every prompt, by layer."""
        return readings.peak_activations(self._passes, self.suite, self._tokens(prompts))

    def sae_quality(self, prompts: Sequence[Prompt]) -> list[SaeQuality]:
        """How well each SAE describes this model's activations on these prompts.

        Explained variance and L0 are over all prompts, the cross-entropy recovered over the clean
        model's own greedy answers, up to 16 tokens each, to the first 16 harmful and the first 16
        harmless ones, or those there are.

        Raises:
            AuditError: the model's layers, run one by one, do not give what the model gives.
        """
        assert prompts, "the quality on no prompts"
        ids = self._tokens(prompts)
        # Layers are run one by one below; the first clean run is checked to allow that.
        self._runs.of(self._interventions.ids(prompts[0]))
        return quality.sae_quality(
            self._passes,
            self._stack.head,
            self.suite,
            ids,
            lambda one: self.template.selected(one, Positions.ALL_BUT_BOS),
            quality.first_of_each_label(prompts),
        )

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

    def residuals_at(
        self, prompts: Sequence[Prompt], *, layer: int, position: int
    ) -> Float[np.ndarray, "prompt d_model"]:
        """`resid_post` of one layer at one position (-1 is the prompt's last token), by prompt."""
        return readings.residuals_at(
            self._passes, self._tokens(prompts), layer=layer, position=position
        )

    def projections(
        self,
        prompts: Sequence[Prompt],
        directions: Float[np.ndarray, "direction d_model"],
        *,
        position: int,
    ) -> dict[int, Projections]:
        """Components of streams and of their reconstructions along the unit directions, by layer."""
        components = Components(self._passes, self.suite, directions)
        return components.at(self._tokens(prompts), position)

    def replaced_parts(
        self,
        prompts: Sequence[Prompt],
        harmless: Sequence[Prompt],
        directions: Float[np.ndarray, "direction d_model"],
        ablation: Ablation = _KEEP,
    ) -> ReplacedParts:
        """Refusal scores of `prompts` with a part of what the stream has along a direction, all of
        it, the reconstruction's or the error term's, as in `harmless` prompts on average.

        At every audited layer, at the positions `ablation` acts at.
        """
        return ReplacedParts(
            Components(self._passes, self.suite, directions),
            self._tokens(prompts),
            self._tokens(harmless),
            selected=lambda ids: self._interventions.selected(ids, ablation).cpu(),
            n_after=self.template.n_after,
            refusal_tokens=self._token_ids(),
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
        interventions = self._interventions
        answered = collateral.clean_answers(self._passes, self._tokens(prompts), n_tokens)

        def changes(ablated: FeatureSet) -> tuple[collateral.Change, ...]:
            return tuple(
                collateral.change(
                    self._passes,
                    answer,
                    interventions.at_modules(
                        interventions.of_prompt(answer.ids, [ablated], ablation, answer.n_prompt)
                    ),
                )
                for answer in answered
            )

        return changes

    # Text

    def generate(
        self,
        questions: Sequence[tuple[Prompt, FeatureSet]],
        n_tokens: int,
        ablation: Ablation = _KEEP,
    ) -> list[list[int]]:
        """Greedy answers (token ids) of each prompt under the ablation of its set.

        The ablation acts in the prompt, where its positions say, and in every generated token.
        Questions whose prompts are equally long share batches. An answer ends with its
        end-of-sequence token, or after `n_tokens`.

        Raises:
            AuditError: a feature that no loaded SAE has, or the clean run's error term asked for: an
                answer under ablation has no clean run.
        """
        return generation.answers(self._passes, self._interventions, questions, ablation, n_tokens)

    def reference_generate(
        self, prompt: Prompt, ablated: FeatureSet, n_tokens: int, ablation: Ablation = _KEEP
    ) -> list[int]:
        """The same answer found literally: the whole text run anew for every token, plain hooks."""
        return generation.literal_answer(
            self._passes, self._interventions, prompt, ablated, ablation, n_tokens
        )

    def text(self, answer: Sequence[int]) -> str:
        return self.template.tokenizer.decode(answer, skip_special_tokens=True)

    def completions(self, prompts: Sequence[Prompt], n_tokens: int) -> tuple[list[int], list[str]]:
        """Greedy answers of the unablated model: first token ids, and texts."""
        answers = self.generate([(prompt, _NOTHING) for prompt in prompts], n_tokens)
        return [answer[0] for answer in answers], [self.text(answer) for answer in answers]

    # Inside

    def _clean_run(self, ids: Int[Tensor, " position"]) -> CleanRun:
        self._passes.cost.count(batch=1, positions=len(ids))
        return self._stack.clean_run(ids)

    def _tokens(self, prompts: Iterable[Prompt]) -> list[Int[Tensor, " _"]]:
        return [self.template.tokens(prompt.text) for prompt in prompts]

    def _token_ids(self) -> Int[Tensor, " token"]:
        assert self.refusal_tokens is not None, (
            "refusal tokens are found when the subject is loaded"
        )
        return torch.tensor(self.refusal_tokens.ids, device=self._passes.device)

    def _sweeper(self, ablation: Ablation, error_layers: frozenset[int]) -> Sweeper:
        return Sweeper(self._stack, self.suite, ablation, error_layers, self._passes.cost)
