"""Measures of the next token under ablation: questions are sorted, grouped into sweeps, remembered."""

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sae_audit.subject.intervention.batched_ablation import Asked, BatchedAblation, Question
from sae_audit.subject.intervention.beginnings import Beginnings, Begun, in_slices
from sae_audit.subject.model.budget import Budget
from sae_audit.subject.model.clean_run import CleanRun, CleanRuns, Ids
from sae_audit.subject.model.kl import next_token_kl
from sae_audit.subject.readout.readout import Readout, margin
from sae_audit.vocabulary import FeatureId, FeatureSet

_KEPT_ANSWERS = 1 << 16

Key = tuple[Ids, FeatureSet]
"""A question: the prompt's token ids and the feature set."""

Measured = Float[np.ndarray, "row measure"]
Measure = Callable[[Float[Tensor, "row vocabulary"], Sequence[CleanRun]], Measured]
"""Numbers of next-token logits, row by row; each row's prompt is given by its clean run."""


def margins(readout: Readout) -> Measure:
    """The refusal score alone, nats."""
    return lambda logits, _: margin(readout, logits)[:, None].cpu().numpy()


_CLOSE = math.log(2.0)
"""Nats between two tokens of which one is twice as likely as the other."""


def changes(logits: Float[Tensor, "row vocabulary"], runs: Sequence[CleanRun]) -> Measured:
    """KL of the next token, clean against ablated, nats; and 1 if the likeliest token has changed."""
    clean = torch.stack([run.logits for run in runs])
    changed = likeliest_changed(clean, logits)
    return torch.stack([next_token_kl(clean, logits), changed.double()], dim=1).cpu().numpy()


def likeliest_changed(
    clean: Float[Tensor, "row vocabulary"], logits: Float[Tensor, "row vocabulary"]
) -> Bool[Tensor, " row"]:
    """Whether the likeliest token becomes one that was less than half as likely.

    A model that may begin an answer in many ways gives none of them much probability, and the least
    change, if only of rounding, puts another before the likeliest: that alone counts for nothing.
    """
    # `argmax` takes four times as long in bfloat16 on a CPU; both give the first of equals.
    likeliest = logits.max(dim=1, keepdim=True).indices
    behind = clean.amax(dim=1) - clean.gather(1, likeliest)[:, 0]
    return behind.double() > _CLOSE


def _in_order(features: FeatureSet) -> list[tuple[int, int]]:
    # Pairs of numbers compare many times faster than the ids themselves.
    return sorted((feature.layer, feature.index) for feature in features)


class Scorer:
    """A measure of any prompt under any feature set, for one kind of ablation."""

    def __init__(
        self,
        sweeper: BatchedAblation,
        runs: CleanRuns,
        budget: Budget,
        measure: Measure,
        beginnings: Beginnings,
        kept_answers: int = _KEPT_ANSWERS,
    ) -> None:
        self._sweeper = sweeper
        self._runs = runs
        self._budget = budget
        self._measure = measure
        self._kept_answers = kept_answers
        self._beginnings = beginnings
        self._known: OrderedDict[Key, Float[np.ndarray, " measure"]] = OrderedDict()
        self._clean: dict[Ids, Float[np.ndarray, " measure"]] = {}
        self._starts: dict[Ids, dict[FeatureId, int]] = {}

    def ask(
        self,
        prompts: Sequence[Int[Tensor, " _"]],
        selected: Sequence[Bool[Tensor, " _"]],
        questions: Sequence[tuple[int, FeatureSet]],
    ) -> Float[np.ndarray, "question measure"]:
        """The measure of questions (prompt index, feature set); each distinct one is run once."""
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

    def _remember(self, answers: Mapping[Key, Float[np.ndarray, " measure"]]) -> None:
        self._known |= answers
        while len(self._known) > self._kept_answers:
            self._known.popitem(last=False)

    def _answers(self, new: Mapping[Key, Question]) -> dict[Key, Float[np.ndarray, " measure"]]:
        answers: dict[Key, Float[np.ndarray, " measure"]] = {}
        lengths = self._sweeper.n_positions(list(new.values()))
        waiting: list[tuple[Key, int]] = []
        for key, length in zip(new, lengths, strict=True):
            if length == 0:
                answers[key] = self._of_clean(key[0], new[key][0].run)
            else:
                waiting.append((key, length))
        apart = self._apart(new, waiting)
        alone = [item for item in waiting if item[0] not in apart]
        return answers | self._swept(new, alone) | self._swept_behind(new, apart)

    def _apart(
        self, new: Mapping[Key, Question], waiting: Sequence[tuple[Key, int]]
    ) -> dict[Key, int]:
        """Questions that change what prompts begin with, by a set which is asked about for more than one
        prompt, with the number of positions behind it; empty if running it apart saves nothing."""
        asked = {key[0]: new[key][0] for key, _ in waiting}
        n = self._beginnings.n_alike([one.run.ids for one in asked.values()])
        masks = [one.selected[:n] for one in asked.values()]
        if n == 0 or any(not torch.equal(mask, masks[0]) for mask in masks):
            return {}
        changing = [key for key, length in waiting if length > len(key[0]) - n]
        n_prompts = Counter(ablated for _, ablated in changing)
        return {
            key: len(key[0]) - n
            for key in changing
            if n_prompts[key[1]] > 1 or self._beginnings.known((self, key[1]))
        }

    def _swept_behind(
        self, new: Mapping[Key, Question], apart: Mapping[Key, int]
    ) -> dict[Key, Float[np.ndarray, " measure"]]:
        """Answers to questions whose prompts' beginning is run apart."""
        if not apart:
            return {}
        beginning = self._runs.of(self._beginnings.ids)
        (selected, *_) = (new[key][0].selected[: beginning.length] for key in apart)

        def make(keys: list[tuple[Scorer, FeatureSet]]) -> Iterator[Begun | None]:
            start = 0
            while start < len(keys):
                size = max(1, self._budget.tokens // beginning.length)
                sets = [ablated for _, ablated in keys[start : start + size]]
                made = self._budget.attempt(
                    lambda sets=sets: self._sweeper.begun(beginning, selected, sets),
                    divisible=len(sets) > 1,
                )
                if made is not None:
                    yield from made
                    start += len(sets)

        answers: dict[Key, Float[np.ndarray, " measure"]] = {}
        # Neighbours in this order share rows of the beginning.
        waiting = sorted(apart.items(), key=lambda item: _in_order(item[0][1]))
        sets = [ablated for (_, ablated), _ in waiting]
        for some in in_slices(sets, self._beginnings.most_together):
            begun = self._beginnings.of([(self, sets[i]) for i in some], make)
            answers |= self._swept(
                new,
                [waiting[i] for i in some],
                lambda keys, begun=begun: (beginning, [begun[self, one] for _, one in keys]),
            )
        return answers

    def _swept(
        self,
        new: Mapping[Key, Question],
        waiting: Sequence[tuple[Key, int]],
        continued: Callable[[Sequence[Key]], tuple[CleanRun, list[Begun | None]]] | None = None,
    ) -> dict[Key, Float[np.ndarray, " measure"]]:
        """Answers to questions with the number of positions that each has to run, behind what is
        `continued`."""
        answers: dict[Key, Float[np.ndarray, " measure"]] = {}
        # Neighbours in this order agree in the lower layers and share rows there.
        order = sorted(waiting, key=lambda item: (item[1], item[0][0], _in_order(item[0][1])))
        start = 0
        while start < len(order):
            chunk = order[start : start + self._n_fitting(order, start)]
            keys = [key for key, _ in chunk]
            longest = max(length for _, length in chunk)
            measured = self._budget.attempt(
                lambda keys=keys, n=longest: self._measured(
                    [new[key] for key in keys], n, continued(keys) if continued else None
                ),
                divisible=len(chunk) > 1,
            )
            if measured is not None:
                answers.update(zip(keys, measured, strict=True))
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

    def _measured(
        self,
        questions: Sequence[Question],
        n_positions: int,
        continued: tuple[CleanRun, list[Begun | None]] | None,
    ) -> list[Float[np.ndarray, " measure"]]:
        logits, rows = self._sweeper.logits(questions, n_positions, continued)
        # Only questions about the same prompt share a row.
        runs = {row: asked.run for row, (asked, _) in zip(rows, questions, strict=True)}
        found = self._measure(logits, [runs[i] for i in range(len(logits))]) if len(logits) else []
        return [
            found[row] if row >= 0 else self._of_clean(tuple(asked.run.ids.tolist()), asked.run)
            for row, (asked, _) in zip(rows, questions, strict=True)
        ]

    def _of_clean(self, ids: Ids, run: CleanRun) -> Float[np.ndarray, " measure"]:
        if ids not in self._clean:
            self._clean[ids] = self._measure(run.logits[None], [run])[0]
        return self._clean[ids]
