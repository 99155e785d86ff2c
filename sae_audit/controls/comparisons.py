"""Effects of equally large sets of other origins on the same prompts."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from sae_audit.findings import ErrorTermControl, Estimate, FlipScale, ScaleControl, SetControl
from sae_audit.margins import answers, refuses
from sae_audit.statistics import mean, mean_of_shares, median, share
from sae_audit.vocabulary import FeatureSet, Score

Sets = Callable[[str], Sequence[FeatureSet]]
"""The sets to try on one prompt, by prompt id."""


Removed = Callable[[str, FeatureSet], float]
"""Length of what ablating a set removes from one prompt's stream, by prompt id."""


def set_control(
    name: str,
    scores: Mapping[str, Score],
    sets: Sets,
    removed: Removed | None = None,
) -> SetControl:
    """Share of prompts flipped, mean fall of the score and, if `removed` measures it, mean removed norm,
    over the prompts in `scores`.

    A prompt with several (random) sets counts by its average over them, since sets for one prompt are
    not independent; intervals are over prompts.
    """
    flips: list[float] = []
    drops: list[float] = []
    norms: list[float] = []
    single = True
    for prompt_id, score in scores.items():
        tried = list(sets(prompt_id))
        values = score([frozenset(), *tried])
        flips.append(float(answers(values[1:]).mean()))
        drops.append(float(values[0] - values[1:].mean()))
        if removed is not None:
            norms.append(float(np.mean([removed(prompt_id, ablated) for ablated in tried])))
        single = single and len(tried) == 1
    return SetControl(
        name=name,
        flipped=_share_flipped(flips, counted=single),
        score_drop=mean(drops),
        removed_norm=float(np.mean(norms)) if norms else None,
    )


def scale_control(
    found: Sequence[FlipScale],
    random_scores: Callable[[FlipScale], Float[np.ndarray, " set"]] | None,
) -> ScaleControl:
    """Smallest scales of one kind of prompts, and the effect of random sets at each prompt's own scale.

    `random_scores` gives a prompt's refusal scores (nats) under random sets, ablated at the scale that
    flips it; None if no such sets can be drawn.
    """
    (ablated,) = {one.ablated for one in found}
    flipping = [one for one in found if one.scale is not None]
    scales = [one.scale for one in flipping if one.scale is not None]
    by_random = (
        [float(answers(random_scores(one)).mean()) for one in flipping] if random_scores else []
    )
    return ScaleControl(
        ablated=ablated,
        flipped=share(len(scales), len(found)),
        mean=mean(scales) if scales else None,
        median=median(scales) if scales else None,
        random_flipped=_share_flipped(by_random, counted=False) if by_random else None,
    )


def _share_flipped(flips: Sequence[float], *, counted: bool) -> Estimate:
    """Share over prompts that each count by a share of their sets; `counted` if each is 0 or 1."""
    if counted:
        return share(round(sum(flips)), len(flips))
    return mean_of_shares(flips)


def error_term_control(
    kept: Mapping[str, Score],
    frozen: Mapping[str, Score],
    dropped: Mapping[str, Score],
    dropped_alone: Mapping[str, Score],
    sets: Mapping[str, FeatureSet],
) -> ErrorTermControl:
    """Scores of the same sets with the SAE's error term kept, frozen, dropped, and dropped alone."""
    assert sets, "no prompt was flipped"
    as_kept, as_frozen, as_dropped = (_ablated(scores, sets) for scores in (kept, frozen, dropped))
    return ErrorTermControl(
        flipped_kept=_share_below_zero(as_kept),
        flipped_frozen=_share_below_zero(as_frozen),
        flipped_dropped=_share_below_zero(as_dropped),
        change_frozen=mean(as_frozen - as_kept),
        change_dropped=mean(as_dropped - as_kept),
        refused_dropped_alone=share(
            sum(refuses(float(score([frozenset()])[0])) for score in dropped_alone.values()),
            len(dropped_alone),
        ),
    )


def _ablated(
    scores: Mapping[str, Score], sets: Mapping[str, FeatureSet]
) -> Float[np.ndarray, " prompt"]:
    return np.array([float(scores[prompt_id]([s])[0]) for prompt_id, s in sets.items()])


def _share_below_zero(values: Float[np.ndarray, " prompt"]) -> Estimate:
    return share(int(answers(values).sum()), len(values))
