"""Questions about the refusal score, clean and under ablation."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from sae_audit.prompts.types import Prompt
from sae_audit.subject.instrument_base import PLAIN, InstrumentBase
from sae_audit.subject.intervention.ablation import check_ablation, check_features
from sae_audit.subject.intervention.reference import reference_scores
from sae_audit.subject.intervention.scoring import Measure, Measured, Scorer, changes, margins
from sae_audit.subject.readout.readout import margin
from sae_audit.vocabulary import Ablation, FeatureId, FeatureSet, Score


class ScoreQuestions(InstrumentBase):
    """Questions about the refusal score."""

    def clean_scores(self, prompts: Sequence[Prompt]) -> Float[np.ndarray, " prompt"]:
        """Refusal score of the unablated model on each prompt, nats."""
        scores = np.zeros(len(prompts))
        for batch in self._passes.batches(self._tokens(prompts)):
            logits = self._passes.last_logits(batch.ids, lengths=batch.lengths)
            scores[batch.members] = margin(self.readout, logits).cpu().numpy()
        return scores

    def refusal_score(
        self,
        prompt: Prompt,
        ablation: Ablation = PLAIN,
        *,
        error_layers: frozenset[int] = frozenset(),
    ) -> Score:
        """The set function of one prompt: feature sets in, refusal scores (nats) out.

        The clean pass is made once; parts that an ablation leaves unchanged are not run again, sets
        share batches, and answers are remembered. If the error term is not kept, it is replaced in
        the layers of a set's features and always in `error_layers`.

        Raises:
            AuditError: the ablation cannot be carried out; when called, no loaded SAE has a
                feature.
        """
        ask = self.refusal_scores(ablation, error_layers=error_layers)

        def score(sets: Sequence[FeatureSet]) -> Float[np.ndarray, " set"]:
            return ask([(prompt, ablated) for ablated in sets])

        return score

    def refusal_scores(
        self, ablation: Ablation = PLAIN, *, error_layers: frozenset[int] = frozenset()
    ) -> Callable[[Sequence[tuple[Prompt, FeatureSet]]], Float[np.ndarray, " question"]]:
        """The set function for questions about several prompts, which share batches."""
        ask = self._measured(margins(self.readout), ablation, error_layers)
        return lambda questions: ask(questions)[:, 0]

    def harmless_changes(
        self, ablation: Ablation = PLAIN
    ) -> Callable[[Sequence[tuple[Prompt, FeatureSet]]], Float[np.ndarray, "question change"]]:
        """A function from questions (prompt, set) to what ablation changes at the prompt's end.

        The KL of the next token, clean against ablated (nats), and 1 if the likeliest token becomes one
        that was less than half as likely.

        Questions share batches as scores do, and a set none of whose features fire costs nothing.
        """
        return self._measured(changes, ablation, frozenset())

    def _measured(
        self, measure: Measure, ablation: Ablation, error_layers: frozenset[int]
    ) -> Callable[[Sequence[tuple[Prompt, FeatureSet]]], Measured]:
        check_ablation(ablation, self.suite, error_layers)
        sweeper = self._sweeper(ablation, error_layers)
        scorer = Scorer(sweeper, self._runs, self._passes.budget, measure, self._beginnings)

        def measured(questions: Sequence[tuple[Prompt, FeatureSet]]) -> Measured:
            check_features([ablated for _, ablated in questions], self.suite)
            index_of: dict[str, int] = {}
            ids: list[Int[Tensor, " _"]] = []
            for prompt, _ in questions:
                if prompt.text not in index_of:
                    index_of[prompt.text] = len(ids)
                    ids.append(self._interventions.ids(prompt))
            return scorer.ask(
                ids,
                [self._interventions.selected(tokens, ablation) for tokens in ids],
                [(index_of[prompt.text], ablated) for prompt, ablated in questions],
            )

        return measured

    def reference_score(
        self,
        prompt: Prompt,
        ablation: Ablation = PLAIN,
        *,
        error_layers: frozenset[int] = frozenset(),
    ) -> Score:
        """The set function of one prompt computed literally: plain hooks, whole encode and decode."""
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
                self.readout,
                sets,
                ablation,
                error_layers,
            )

        return score

    def first_changes(
        self, prompt: Prompt, features: Iterable[FeatureId], ablation: Ablation = PLAIN
    ) -> dict[FeatureId, int | None]:
        """First position at which ablating each feature alone changes the clean run; None if none.

        Positions before the earliest one of a set's features are never run: causal attention
        leaves them unchanged.
        """
        asked = sorted(features)
        check_features([frozenset(asked)], self.suite)
        ids = self._interventions.ids(prompt)
        return self._sweeper(ablation, frozenset()).first_changes(
            self._runs.of(ids), self._interventions.selected(ids, ablation), asked
        )
