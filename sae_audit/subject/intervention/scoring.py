"""Refusal scores under ablation: questions are sorted, grouped into sweeps, and remembered."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_audit.subject.intervention.batched_ablation import Asked, BatchedAblation, Question
from sae_audit.subject.model.budget import Budget
from sae_audit.subject.model.clean_run import CleanRun, CleanRuns, Ids
from sae_audit.subject.readout.readout import Readout, margin
from sae_audit.vocabulary import FeatureId, FeatureSet

_KEPT_ANSWERS = 1 << 16

Key = tuple[Ids, FeatureSet]
"""A question: the prompt's token ids and the feature set."""


class Scorer:
    """Refusal scores of any prompt under any feature set, for one kind of ablation."""

    def __init__(
        self,
        sweeper: BatchedAblation,
        runs: CleanRuns,
        budget: Budget,
        readout: Readout,
        kept_answers: int = _KEPT_ANSWERS,
    ) -> None:
        self._sweeper = sweeper
        self._runs = runs
        self._budget = budget
        self._readout = readout
        self._kept_answers = kept_answers
        self._known: OrderedDict[Key, float] = OrderedDict()
        self._clean: dict[Ids, float] = {}
        self._starts: dict[Ids, dict[FeatureId, int]] = {}

    def ask(
        self,
        prompts: Sequence[Int[Tensor, " _"]],
        selected: Sequence[Bool[Tensor, " _"]],
        questions: Sequence[tuple[int, FeatureSet]],
    ) -> Float[np.ndarray, " question"]:
        """Scores (nats) of questions (prompt index, feature set); each distinct one is run once."""
        ids = [tuple(prompt.tolist()) for prompt in prompts]
        prompt_of = {(ids[i], ablated): i for i, ablated in questions}
        answers = {key: self._known[key] for key in prompt_of if key in self._known}
        asked: dict[int, Asked] = {}
        for key, i in prompt_of.items():
            if key not in answers and i not in asked:
                asked[i] = Asked(
                    run=self._runs.of(prompts[i]),
                    selected=selected[i],
                    starts=self._starts.setdefault(ids[i], {}),
                )
        new = {key: (asked[i], key[1]) for key, i in prompt_of.items() if key not in answers}
        if new:
            found = self._answers(new)
            answers |= found
            self._remember(found)
        return np.array([answers[ids[i], ablated] for i, ablated in questions])

    def _remember(self, answers: Mapping[Key, float]) -> None:
        self._known |= answers
        while len(self._known) > self._kept_answers:
            self._known.popitem(last=False)

    def _answers(self, new: Mapping[Key, Question]) -> dict[Key, float]:
        answers: dict[Key, float] = {}
        lengths = self._sweeper.n_positions(list(new.values()))
        waiting: list[tuple[Key, int]] = []
        for key, length in zip(new, lengths, strict=True):
            if length == 0:
                answers[key] = self._clean_score(key[0], new[key][0].run)
            else:
                waiting.append((key, length))
        # Neighbours in this order agree in the lower layers and share rows there.
        waiting.sort(key=lambda item: (item[1], item[0][0], sorted(item[0][1])))
        start = 0
        while start < len(waiting):
            chunk = waiting[start : start + self._n_fitting(waiting, start)]
            questions = [new[key] for key, _ in chunk]
            longest = max(length for _, length in chunk)
            scores = self._budget.attempt(
                lambda q=questions, n=longest: self._scores(q, n), divisible=len(chunk) > 1
            )
            if scores is not None:
                answers.update(zip((key for key, _ in chunk), scores, strict=True))
                start += len(chunk)
        return answers

    def _n_fitting(self, waiting: Sequence[tuple[Key, int]], start: int) -> int:
        n, longest = 0, 1
        for _, length in islice(waiting, start, None):
            longest = max(longest, length)
            if n and (n + 1) * longest > self._budget.tokens:
                break
            n += 1
        return n

    def _scores(self, questions: Sequence[Question], n_positions: int) -> list[float]:
        logits, rows = self._sweeper.logits(questions, n_positions)
        scores = margin(self._readout, logits).tolist() if len(logits) else []
        return [
            scores[row] if row >= 0 else self._clean_score(tuple(asked.run.ids.tolist()), asked.run)
            for row, (asked, _) in zip(rows, questions, strict=True)
        ]

    def _clean_score(self, ids: Ids, run: CleanRun) -> float:
        if ids not in self._clean:
            self._clean[ids] = float(margin(self._readout, run.logits[None])[0])
        return self._clean[ids]
