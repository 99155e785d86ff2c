"""Stage 1: make candidate directions and choose one, by the methods that the settings name."""

from sae_audit.config import DirectionSettings
from sae_audit.direction.methods import Asked, Means
from sae_audit.direction.registry import estimator, selector
from sae_audit.findings import Direction, NearestDirection, NoDirection
from sae_audit.vocabulary import CandidateQuestions


def found_direction(
    means: Means,
    effects: CandidateQuestions,
    settings: DirectionSettings,
    *,
    clean: tuple[float, float],
    n_train: tuple[int, int],
    n_validation: tuple[int, int],
    progress: Asked,
) -> Direction | NoDirection:
    """The chosen direction, or how near the nearest candidate comes if none passes the filters.

    `clean` holds the mean refusal scores (nats) of harmful and harmless validation prompts without
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
    if isinstance(choice.selected, NearestDirection):
        return NoDirection(
            method=settings.estimator,
            selection=choice.selection,
            nearest=choice.selected,
            evaluations=choice.evaluations,
            stopped=choice.stopped,
            clean_harmful=clean[0],
            clean_harmless=clean[1],
            n_train=n_train,
            n_validation=n_validation,
        )
    assert choice.selected in choice.evaluations, choice.selected
    return Direction(
        method=settings.estimator,
        selection=choice.selection,
        selected=choice.selected,
        evaluations=choice.evaluations,
        stopped=choice.stopped,
        vector=tuple(candidates.vectors[candidates.at(choice.selected)].tolist()),
        clean_harmful=clean[0],
        clean_harmless=clean[1],
        n_train=n_train,
        n_validation=n_validation,
    )
