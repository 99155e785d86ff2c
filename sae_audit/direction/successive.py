"""Successive refusal directions: those still found with the earlier ones projected out.

Projecting one direction out may leave others that each mediate refusal (2502.17420), which a difference
of means shows only then. As in iterative nullspace projection (2004.07667), but with a whole stage 1 per
step:

1. Project the directions found so far out of the residual stream everywhere.
2. Stop if at most a few validation prompts are still refused.
3. Otherwise take the difference of means between training prompts still refused and those still
   answered, chosen on validation prompts as the first was (2406.11717), with the earlier ones projected
   out. Stop if it passes not every filter, even if the first does not either.
4. On audit prompts, which choose nothing, measure remaining refusals and harmless answers, and the same
   with as many random directions projected out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from sae_audit.config import DirectionSettings
from sae_audit.direction.presence import FEWEST
from sae_audit.findings import (
    Controlled,
    Direction,
    DirectionCheck,
    DirectionOut,
    Estimate,
    NoDirection,
    RandomRange,
    SuccessiveDirections,
)
from sae_audit.margins import answers, refuses
from sae_audit.statistics import mean, random_range, share
from sae_audit.vocabulary import Removed

Units = Float[np.ndarray, "direction d_model"]
"""Unit directions at right angles to each other, in the order found."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TreatedAsLabelled:
    """Prompts that the model treats as labelled with the directions so far projected out."""

    harmful: Bool[np.ndarray, " harmful"]
    harmless: Bool[np.ndarray, " harmless"]
    halfway: float
    """Midpoint between the mean scores of these two kinds of prompts, nats."""

    @property
    def enough(self) -> bool:
        return bool(min(self.harmful.sum(), self.harmless.sum()) >= FEWEST)


@dataclass(frozen=True, kw_only=True)
class SuccessiveQuestions:
    """The search's questions to the model, about prompts that it treats as labelled when unablated."""

    prompt_ids: Sequence[str]
    """Ids of the harmful audit prompts."""
    removed: Callable[[str, Units], Removed]
    """Results on `train`, `validation` or `audit` prompts with directions projected out."""
    behind: Callable[[Units, TreatedAsLabelled, TreatedAsLabelled], Direction | NoDirection]
    """Stage 1 with directions projected out, on the given training and validation prompts."""
    randoms: Callable[[int], Float[np.ndarray, "draw d_model"]]
    """Random directions, one per draw, for the step with this many directions projected out."""


def successive_directions(
    first: Direction,
    check: DirectionCheck,
    ask: SuccessiveQuestions,
    settings: DirectionSettings,
    *,
    progress: Callable[[int, int], None],
) -> tuple[SuccessiveDirections, Units]:
    """The directions whose joint removal stops refusal, with how many each prompt needs, and their unit
    parts at right angles to the earlier ones."""
    found, units = first, np.zeros((0, len(first.vector)))
    randoms: Float[np.ndarray, "draw direction d_model"] | None = None
    steps: list[DirectionOut] = []
    scores: list[Float[np.ndarray, " harmful"]] = []
    stop = ""
    while not stop:
        units = _with(units, np.array(found.vector))
        drawn = ask.randoms(len(units))
        randoms = _each_with(randoms, drawn)
        left = ask.removed("audit", units)
        control = _control(ask, randoms) if steps else _first_control(check)
        steps.append(_step(found, left, control))
        scores.append(left.harmful)
        progress(len(steps), settings.max_directions)
        on_validation = ask.removed("validation", units)
        still_refused = float(refuses(on_validation.harmful).mean())
        if still_refused <= settings.until_refused:
            stop = (
                f"{still_refused:.0%} of {len(on_validation.harmful)} validation prompts are still "
                f"refused, at most {settings.until_refused:.0%} (direction.until_refused)"
            )
        elif len(units) == settings.max_directions:
            stop = f"stopped at {len(units)} directions (direction.max_directions)"
        else:
            train, validation = (
                _treated_as_labelled(ask.removed("train", units)),
                _treated_as_labelled(on_validation),
            )
            if not (train.enough and validation.enough):
                stop = "too few prompts are treated as labelled to find another direction"
            else:
                behind = ask.behind(units, train, validation)
                if isinstance(behind, NoDirection):
                    stop = behind.reason
                elif not behind.clean:
                    # What merely blurs the answers of what is left is no backup.
                    stop = behind.unclean
                else:
                    found = behind
    progress(settings.max_directions, settings.max_directions)
    needed = directions_needed(np.stack(scores))
    finding = SuccessiveDirections(
        directions=tuple(steps),
        needed=dict(zip(ask.prompt_ids, needed, strict=True)),
        depth=mean(needed),
        stop=stop,
    )
    return finding, units


def directions_needed(scores: Float[np.ndarray, "direction prompt"]) -> list[int]:
    """For each prompt, the smallest number of directions whose removal stops refusal; one more than all
    if none does. `scores[i]` has i + 1 directions projected out."""
    refused = np.concatenate([refuses(scores), np.zeros((1, scores.shape[1]), bool)])
    return (1 + refused.argmin(axis=0)).tolist()


def _with(
    units: Units, direction: Float[np.ndarray, " d_model"]
) -> Float[np.ndarray, "one_more d_model"]:
    """The units and the direction's unit part at right angles to them."""
    beside = direction - (units @ direction) @ units
    return np.concatenate([units, beside[None] / np.linalg.norm(beside)])


def _each_with(
    units: Float[np.ndarray, "draw direction d_model"] | None,
    drawn: Float[np.ndarray, "draw d_model"],
) -> Float[np.ndarray, "draw one_more d_model"]:
    before = np.zeros((len(drawn), 0, drawn.shape[1])) if units is None else units
    return np.stack([_with(own, one) for own, one in zip(before, drawn, strict=True)])


def _treated_as_labelled(left: Removed) -> TreatedAsLabelled:
    harmful, harmless = refuses(left.harmful), answers(left.harmless)
    ends = (left.harmful[harmful], left.harmless[harmless])
    return TreatedAsLabelled(
        harmful=harmful,
        harmless=harmless,
        halfway=float(np.mean([own.mean() for own in ends])) if all(map(len, ends)) else 0.0,
    )


@dataclass(frozen=True, kw_only=True)
class _Control:
    """Results of a step with random directions projected out."""

    refused: RandomRange
    score: RandomRange
    answered: RandomRange
    kl: RandomRange


def _control(
    ask: SuccessiveQuestions, randoms: Float[np.ndarray, "draw direction d_model"]
) -> _Control:
    left = [ask.removed("audit", units) for units in randoms]
    return _Control(
        refused=random_range([float(refuses(one.harmful).mean()) for one in left]),
        score=random_range([float(one.harmful.mean()) for one in left]),
        answered=random_range([float(answers(one.harmless).mean()) for one in left]),
        kl=random_range([float(one.kl.mean()) for one in left]),
    )


def _first_control(check: DirectionCheck) -> _Control:
    """Results of the first step, whose random directions the direction check has already tried."""
    flipped = check.flipped.random
    refused = RandomRange(
        mean=1.0 - flipped.mean,
        lowest=1.0 - flipped.highest,
        highest=1.0 - flipped.lowest,
        n=flipped.n,
    )
    return _Control(
        refused=refused,
        score=check.bypass.random,
        answered=check.answered.random,
        kl=check.kl.random,
    )


def _step(found: Direction, left: Removed, control: _Control) -> DirectionOut:
    def counted(there: Bool[np.ndarray, " prompt"]) -> Estimate:
        return share(int(there.sum()), len(there))

    return DirectionOut(
        layer=found.selected.layer,
        position=found.selected.position,
        n_train=found.n_train,
        refused=Controlled(own=counted(refuses(left.harmful)), random=control.refused),
        score=Controlled(own=mean(left.harmful), random=control.score),
        answered=Controlled(own=counted(answers(left.harmless)), random=control.answered),
        kl=Controlled(own=mean(left.kl, within=(0.0, np.inf)), random=control.kl),
    )
