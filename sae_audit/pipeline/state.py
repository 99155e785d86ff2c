"""The state of one audit: the one thing that every stage works on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from sae_audit.config import AuditConfig
from sae_audit.findings import CandidateSet, Direction, MinimalSet, PromptScore
from sae_audit.findings.stages import CANDIDATES, DIRECTION, MINIMAL_SETS, SCORES, WIDENING
from sae_audit.pipeline.inputs import Inputs, as_labelled
from sae_audit.pipeline.session import Session
from sae_audit.pipeline.training import Training
from sae_audit.prompts.types import LabelledPrompts, Prompt, Splits
from sae_audit.subject import Judge, Subject
from sae_audit.subject.saes.sae import Sae
from sae_audit.vocabulary import (
    Ablation,
    ErrorTerm,
    FeatureId,
    FeatureSet,
    FeatureValues,
    Scaled,
    Score,
)

Asked = Callable[[Sequence[tuple[Prompt, FeatureSet]]], Float[np.ndarray, " question"]]
"""Refusal scores, in nats, of questions about several prompts."""


@dataclass(frozen=True, kw_only=True)
class AuditState:
    """One audit under way; what follows from findings is computed at its first use."""

    session: Session
    inputs: Inputs

    @property
    def subject(self) -> Subject:
        return self.session.subject

    def with_saes(self, suite: dict[int, Sae]) -> "AuditState":
        """The same audit, with the findings so far, of the same model with other SAEs; what it asks is
        charged to the same account."""
        subject = self.subject.with_saes(suite)
        return AuditState(session=replace(self.session, subject=subject), inputs=self.inputs)

    @property
    def config(self) -> AuditConfig:
        return self.session.config

    @property
    def judge(self) -> Judge | None:
        """The judge of answers; None if flips are not confirmed in text."""
        return self.inputs.judge

    @property
    def scores(self) -> list[PromptScore]:
        """The clean score of every prompt of every split."""
        return self.session.found(SCORES)

    @cached_property
    def prompts(self) -> Splits:
        """The prompts that the model treats as labelled: harmful refused, harmless answered."""
        train, validation, audit = (
            as_labelled(own, self.scores) for own in self.inputs.splits.named().values()
        )
        return Splits(train=train, validation=validation, audit=audit)

    @property
    def audited(self) -> LabelledPrompts:
        """The audit prompts among them."""
        return self.prompts.audit

    @property
    def refused(self) -> list[Prompt]:
        """The harmful audit prompts, all refused."""
        return list(self.prompts.audit.harmful)

    def drawn_refused(self, n: int) -> list[Prompt]:
        """At most `n` of them, drawn by the seed; a smaller draw is a part of a larger one."""
        refused = self.refused
        order = np.random.default_rng(self.config.seed).permutation(len(refused))
        return [refused[i] for i in sorted(order[:n])]

    @cached_property
    def training(self) -> Training:
        """The features that fire on the training prompts."""
        return Training(self.subject, self.prompts.train)

    @cached_property
    def ablation(self) -> Ablation:
        """The meaning of "ablate" in this audit, its clamps known."""
        config = self.config
        at = Ablation(positions=config.positions, error_term=config.error_term)
        if config.clamp != "harmless_mean":
            return replace(at, clamp=config.clamp)
        return replace(at, clamp=self.harmless_means)

    @cached_property
    def eligible(self) -> Mapping[int, Bool[np.ndarray, " d_sae"]]:
        """By layer, which features may be candidates: all, unless the settings leave out those that fire
        on too many harmless training prompts."""
        most = self.config.candidates.max_harmless_rate
        if most >= 1.0:
            return {layer: np.ones(sae.d_sae, bool) for layer, sae in self.subject.suite.items()}
        rates = self.training.features().harmless_rates
        return {layer: own <= most for layer, own in rates.items()}

    @property
    def harmless_means(self) -> FeatureValues:
        """Each feature's mean activation on harmless training prompts, where the ablation acts."""
        # Only for a model that answers nothing harmless, which is not ablated, are all of them taken.
        harmless = self.prompts.train.harmless or self.inputs.splits.train.harmless
        at = Ablation(positions=self.config.positions)
        return self.subject.mean_activations(harmless, at)

    @property
    def direction(self) -> Direction:
        """The refusal direction; its stage must have found one."""
        found = self.session.found(DIRECTION)
        assert isinstance(found, Direction), found
        return found

    @property
    def candidates(self) -> CandidateSet:
        return self.session.found(CANDIDATES)

    @cached_property
    def pools(self) -> Mapping[str, list[FeatureId]]:
        """By refused prompt, the features that a search may choose from, likeliest first: the
        candidates, then those added if the candidates do not flip it."""
        ranked = self.candidates.ranked
        return {
            one.prompt_id: [*ranked, *(feature for added in one.added for feature in added)]
            for one in self.session.found_each(WIDENING)
        }

    @property
    def minimal_sets(self) -> list[MinimalSet]:
        """One for each refused prompt, flipped or not."""
        return self.session.found_each(MINIMAL_SETS)

    @cached_property
    def harmless_tested(self) -> list[Prompt]:
        """Harmless prompts on which the side effects of sets are limited: answered, of the validation
        split, then of the training split."""
        answered = (*self.prompts.validation.harmless, *self.prompts.train.harmless)
        return list(answered[: self.config.side_effects.prompts])

    @property
    def flipping(self) -> dict[str, FeatureSet]:
        """The minimal set of each prompt that is flipped."""
        return {one.prompt_id: frozenset(one.features) for one in self.minimal_sets if one.flipped}

    @property
    def flipped(self) -> list[Prompt]:
        """The prompts that are flipped."""
        return [prompt for prompt in self.refused if prompt.id in self.flipping]

    def score_of(
        self,
        prompt: Prompt,
        *,
        error_term: ErrorTerm | None = None,
        error_layers: frozenset[int] = frozenset(),
    ) -> Score:
        """The set function of one prompt: refusal scores (nats) of feature sets."""
        term = self.ablation.error_term if error_term is None else error_term
        ablation = replace(self.ablation, error_term=term)
        return self.subject.refusal_score(prompt, ablation, error_layers=error_layers)

    def refusal_scores(self, error_term: ErrorTerm | None = None) -> Asked:
        """Refusal scores of questions about several prompts, which share batches."""
        term = self.ablation.error_term if error_term is None else error_term
        return self.subject.refusal_scores(replace(self.ablation, error_term=term))

    def scaled_scores(
        self,
    ) -> Callable[[Sequence[tuple[Prompt, Scaled]]], Float[np.ndarray, " question"]]:
        """The same for sets ablated at a scale each; questions of one scale share batches."""
        return scaled_scores(self.subject, self.ablation)

    def search_orders(self, prompt: Prompt, pool: Sequence[FeatureId]) -> list[list[FeatureId]]:
        """The orders in which a search tries the features of its pool, by the settings."""
        asked = self.config.minimal.order
        found = [list(pool)] if asked != "attribution" else []
        if asked != "candidates":
            drops = self.attribution(prompt)
            found.append(sorted(pool, key=lambda f: -drops[f.layer][f.index]))
        return found

    def attribution(self, prompt: Prompt) -> dict[int, Float[np.ndarray, " d_sae"]]:
        """By layer, the estimated drop of the prompt's score (nats) if each feature is ablated."""
        return self.subject.attribution(prompt, self.ablation, steps=self.config.attribution_steps)


def scaled_scores(
    subject: Subject, ablation: Ablation
) -> Callable[[Sequence[tuple[Prompt, Scaled]]], Float[np.ndarray, " question"]]:
    """Refusal scores (nats) of sets that are ablated at a scale each."""
    answers: dict[float, Asked] = {}

    def scores(questions: Sequence[tuple[Prompt, Scaled]]) -> Float[np.ndarray, " question"]:
        found = np.zeros(len(questions))
        scales = np.array([asked.scale for _, asked in questions])
        for scale in map(float, np.unique(scales)):
            if scale not in answers:
                answers[scale] = subject.refusal_scores(replace(ablation, scale=scale))
            here = np.flatnonzero(scales == scale).tolist()
            found[here] = answers[scale](
                [(questions[i][0], questions[i][1].features) for i in here]
            )
        return found

    return scores
