"""Searches for sets that flip prompts in text, several prompts sharing batches of scores and answers."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from sae_audit.findings import MinimalSet, TextSet
from sae_audit.margins import answers
from sae_audit.minimal.by_text import AskingTexts, text_set
from sae_audit.pipeline.pricing import AuditSize, Work
from sae_audit.pipeline.side_effects import HarmlessChanges, changes_price
from sae_audit.prompts.types import Prompt
from sae_audit.vocabulary import FeatureId, FeatureSet

_Questions = Sequence[tuple[Prompt, FeatureSet]]
Complied = Callable[[_Questions], Sequence[bool | None]]
"""Whether the judge calls answers compliance, prompt by prompt with a set ablated; None if it was not
asked."""
Scores = Callable[[_Questions], Float[np.ndarray, " question"]]


_REFUSING = 0.35
"""Assumed share of flips by score that do not show in text: .33 on the bundled organism."""
_READ = 6
"""Assumed number of answers read in the search of one of these prompts; on the bundled organism 5.5."""
_LIMITED = 2.5
"""Assumed number of sets of each such search that are measured on harmless prompts."""
_OWN_TOKENS = 16
"""Tokens of own answers on which side effects are measured."""
_GROUP = 16
"""Number of prompts whose searches share batches of answers."""


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


def price_in_text(size: AuditSize, n_prompts: int) -> Work:
    """The price of the searches for so many prompts' sets that flip in text."""
    searched, groups = _REFUSING * n_prompts, n_prompts / _GROUP
    each = min(_READ, size.config.minimal.texts_budget)
    n_read = n_prompts + searched * (each - 1)
    attributed = size.config.minimal.order != "candidates"
    own = size.attribution(n_prompts if attributed else 0)
    harmless = changes_price(size, _LIMITED * searched)
    n = size.config.side_effects.prompts
    # Side effects of the sets found, on the model's own answers.
    measured, longer = n * (searched + groups), size.tokens + _OWN_TOKENS
    rounds = size.facts.batches(n_prompts) + groups * each
    return Work(
        # Every answer is also charged the clean run of its prompt.
        forward_passes=2 * n_read + own.forward_passes + harmless.forward_passes + measured,
        layer_tokens=size.whole(n_read),
        alone_layer_tokens=own.alone_layer_tokens
        + harmless.alone_layer_tokens
        + size.whole(measured, longer),
        swept_layer_tokens=size.swept(n_read) + harmless.swept_layer_tokens,
        heads=n_read,
        swept_heads=n_read + harmless.swept_heads + measured * longer,
        alone_encoded=own.alone_encoded,
        steps=rounds * size.config.answer_tokens + groups * size.facts.batches(n) * _OWN_TOKENS,
        assumed=f"{_REFUSING:.0%} of flips by score refuse in text; {each} answers for each of these",
    )
