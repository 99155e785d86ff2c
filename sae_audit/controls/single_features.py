"""What one change of a feature does to refusal, beside matched random features changed alike."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from sae_audit.findings import FeatureEffect
from sae_audit.margins import answers, refuses
from sae_audit.statistics import mean, share

Scores = Float[np.ndarray, " prompt"]
Turned = Callable[[Scores], Bool[np.ndarray, " prompt"]]


def ablated_effect(clean: Scores, ablated: Scores, random: Scores | None) -> FeatureEffect:
    """Effect of ablating a feature on refused prompts; all arguments are refusal scores (nats) of the
    same prompts, `random` with a random feature ablated instead."""
    return _effect(clean, ablated, random, answers)


def spared_effect(flipped: Scores, spared: Scores, random: Scores | None) -> FeatureEffect:
    """Effect of sparing a feature of prompts' minimal sets, of scores with each whole set ablated and
    with the feature spared; `random` with a random feature ablated in its place."""
    return _effect(flipped, spared, random, lambda scores: ~answers(scores))


def raised_effect(clean: Scores, raised: Scores, random: Scores | None) -> FeatureEffect:
    """Effect of setting a feature on answered prompts; `random` with a random feature set instead."""
    return _effect(clean, raised, random, refuses)


def _effect(before: Scores, after: Scores, random: Scores | None, turned: Turned) -> FeatureEffect:
    assert before.size > 0, "an effect on no prompt"
    return FeatureEffect(
        turned=share(int(turned(after).sum()), after.size),
        score_change=mean(after - before),
        turned_random=None if random is None else share(int(turned(random).sum()), random.size),
        score_change_random=None if random is None else mean(random - before),
    )
