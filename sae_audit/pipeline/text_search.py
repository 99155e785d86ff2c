"""Searches for sets that flip prompts in text, several prompts sharing batches of scores and answers."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from sae_audit.findings import MinimalSet, TextSet
from sae_audit.margins import answers
from sae_audit.minimal.by_text import AskingTexts, text_set
from sae_audit.pipeline.side_effects import HarmlessChanges
from sae_audit.prompts.types import Prompt
from sae_audit.vocabulary import FeatureId, FeatureSet

_Questions = Sequence[tuple[Prompt, FeatureSet]]
Complied = Callable[[_Questions], Sequence[bool | None]]
"""Whether the judge calls answers compliance, prompt by prompt with a set ablated; None if it was not
asked."""
Scores = Callable[[_Questions], Float[np.ndarray, " question"]]


class Readings:
    """Scores of questions about several prompts, and the judge's verdict wherever the score flips."""

    def __init__(self, scores: Scores, complied: Complied) -> None:
        self._scores, self._complied = scores, complied

    def __call__(self, questions: _Questions) -> Float[np.ndarray, "question 2"]:
        scores = self._scores(questions)
        readings = np.stack([scores, np.full(len(scores), np.nan)], axis=1)
        flips = np.flatnonzero(answers(scores)).tolist()
        if flips:
            verdicts = self._complied([questions[i] for i in flips])
            readings[flips, 1] = [np.nan if one is None else float(one) for one in verdicts]
        return readings


def measured_text_set(
    found: MinimalSet, order: Sequence[FeatureId], changes: HarmlessChanges, *, budget: int
) -> AskingTexts[TextSet]:
    """The prompt's set that flips in text with its side effects, measured anew if it is another set."""
    in_text = yield from text_set(found, order, changes.limits, budget=budget)
    if not in_text.flipped:
        return in_text
    effects = found.side_effects
    if effects is None or in_text.features != found.features:
        effects = changes.measured(frozenset(in_text.features))
    return replace(in_text, side_effects=effects)
