"""Stage 1: make candidate directions and choose one, by the methods that the settings name."""

import numpy as np
from jaxtyping import Float

from sae_audit.config import DirectionSettings
from sae_audit.direction.filters import Chosen
from sae_audit.direction.in_full import rows
from sae_audit.direction.methods import Asked, Means
from sae_audit.direction.registry import estimator, selector
from sae_audit.findings import Direction, DirectionEvaluation, Estimate, NoDirection
from sae_audit.margins import refuses
from sae_audit.statistics import mean, ratio
from sae_audit.vocabulary import CandidateQuestions


def found_direction(
    means: Means,
    effects: CandidateQuestions,
    settings: DirectionSettings,
    *,
    clean: tuple[Float[np.ndarray, " harmful"], Float[np.ndarray, " harmless"]],
    n_train: tuple[int, int],
    progress: Asked,
) -> Direction | NoDirection:
    """The chosen direction, marked if it breaks a limit; the finding that there is none only if every
    candidate is zero or has a number that is not finite.

    `clean` holds the refusal scores (nats) of the harmful and of the harmless validation prompts without
    intervention.

    Raises:
        AuditError: the settings name an unknown method.
    """
    candidates = estimator(settings)(means)
    choice = selector(settings).choose(candidates, means, effects, settings, progress)
    n_accounted = len(choice.evaluations) + len(choice.stopped)
    assert n_accounted == len(candidates), (
        f"{n_accounted} of {len(candidates)} candidates accounted for"
    )
    chosen, n_validation = choice.selected, (effects.n_harmful, effects.n_harmless)
    harmful, harmless = clean
    assert (len(harmful), len(harmless)) == n_validation, "scores of other prompts"
    if chosen.evaluation is None:
        return NoDirection(
            method=settings.estimator,
            selection=choice.selection,
            reason=f"Not one of {len(candidates)} candidate directions has finite numbers: harmful and "
            "harmless prompts have the same means, or the model's numbers overflow.",
            evaluations=choice.evaluations,
            stopped=choice.stopped,
            clean_harmful=float(harmful.mean()),
            clean_harmless=float(harmless.mean()),
            n_train=n_train,
            n_validation=n_validation,
        )
    assert chosen.evaluation in choice.evaluations, chosen.evaluation
    at = candidates.at(chosen.evaluation)
    left = effects.bypass(*rows(candidates, [at], effects.n_harmful))
    removed = share_removed(harmful, left)
    return Direction(
        method=settings.estimator,
        selection=choice.selection,
        selected=chosen.evaluation,
        breaks=chosen.breaks,
        unclean=_unclean(chosen, chosen.evaluation, len(candidates)),
        without_kl_limit=chosen.without_cost_limit,
        removed=removed,
        weak=removed is not None and removed.value < settings.weak_below,
        evaluations=choice.evaluations,
        stopped=choice.stopped,
        vector=tuple(candidates.vectors[at].tolist()),
        clean_harmful=float(harmful.mean()),
        clean_harmless=float(harmless.mean()),
        n_train=n_train,
        n_validation=n_validation,
    )


def share_removed(
    clean: Float[np.ndarray, " prompt"], left: Float[np.ndarray, " prompt"]
) -> Estimate | None:
    """Share of the mean refusal score that an intervention takes away, `(clean - left) / clean`: 1 takes
    it to the threshold, more beyond. None if the clean mean is not above 0 beyond its interval."""
    if not refuses(mean(clean).low):
        return None
    return ratio(clean - left, clean)


def _unclean(chosen: Chosen, best: DirectionEvaluation, n_tried: int) -> str:
    if not chosen.breaks:
        return ""
    return (
        f"No direction removes refusal cleanly: the best of {n_tried}, layer {best.layer}, position "
        f"{best.position}, {' and '.join(chosen.breaks)}. It is the best {chosen.rule}. {chosen.reason}"
    )
