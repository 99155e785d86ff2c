"""Refusal directions behind the refusal direction, one after the other, until nothing is refused.

One direction out of the stream may leave another that does its work (2502.17420 finds several that
each mediate refusal); a difference of means shows only what is there. So, as in iterative nullspace
projection (2004.07667), but each step a whole stage 1:

1. Project the directions so far out of the stream everywhere.
2. If at most a few validation prompts are still refused, stop.
3. Otherwise the next direction is the difference of means between the training prompts that are
   still refused and those still answered, chosen on validation prompts as the first was
   (2406.11717), all of it with the earlier ones out.
4. On audit prompts, which choose nothing: what is left of refusal, and of harmless answers, beside
   as many random directions out.
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
"""Directions of length 1 at right angles to each other, in the order in which they were found."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Still:
    """Which prompts the model treats as labelled with the directions so far out."""

    harmful: Bool[np.ndarray, " harmful"]
    harmless: Bool[np.ndarray, " harmless"]
    halfway: float
    """Between the mean scores of these two kinds of prompts, nats."""

    @property
    def enough(self) -> bool:
        return bool(min(self.harmful.sum(), self.harmless.sum()) >= FEWEST)


@dataclass(frozen=True, kw_only=True)
class Questions:
    """What the search asks the model; prompts are those that it treats as labelled when whole."""

    prompt_ids: Sequence[str]
    """Of the harmful audit prompts."""
    removed: Callable[[str, Units], Removed]
    """`train`, `validation` or `audit` prompts with directions out."""
    behind: Callable[[Units, Still, Still], Direction | NoDirection]
    """Stage 1 with directions out, on the training and validation prompts given."""
    randoms: Callable[[int], Float[np.ndarray, "draw d_model"]]
    """Random directions for the step with so many directions out, one for each draw."""


def successive_directions(
    first: Direction,
    check: DirectionCheck,
    ask: Questions,
    settings: DirectionSettings,
    *,
    seed: int,
    progress: Callable[[int, int], None],
) -> tuple[SuccessiveDirections, Units]:
    """The directions without which refusal is gone, how many each audit prompt needs; and what was
    projected out: each direction's part at right angles to those before it, unit."""
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
        steps.append(_step(found, left, control, seed))
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
            train, validation = _still(ask.removed("train", units)), _still(on_validation)
            if not (train.enough and validation.enough):
                stop = "too few prompts are treated as labelled to find another direction"
            else:
                behind = ask.behind(units, train, validation)
                if isinstance(behind, NoDirection):
                    stop = behind.nearest.reason
                else:
                    found = behind
    progress(settings.max_directions, settings.max_directions)
    needed = directions_needed(np.stack(scores))
    finding = SuccessiveDirections(
        directions=tuple(steps),
        needed=dict(zip(ask.prompt_ids, needed, strict=True)),
        depth=mean(needed, seed=seed),
        stop=stop,
    )
    return finding, units


def directions_needed(scores: Float[np.ndarray, "direction prompt"]) -> list[int]:
    """By prompt, how many directions are out when it is first not refused; one more than there are
    where it always is. `scores[i]`: with i + 1 directions out."""
    refused = np.concatenate([refuses(scores), np.zeros((1, scores.shape[1]), bool)])
    return (1 + refused.argmin(axis=0)).tolist()


def _with(
    units: Units, direction: Float[np.ndarray, " d_model"]
) -> Float[np.ndarray, "one_more d_model"]:
    """The units and what of the direction lies at right angles to them."""
    beside = direction - (units @ direction) @ units
    return np.concatenate([units, beside[None] / np.linalg.norm(beside)])


def _each_with(
    units: Float[np.ndarray, "draw direction d_model"] | None,
    drawn: Float[np.ndarray, "draw d_model"],
) -> Float[np.ndarray, "draw one_more d_model"]:
    before = np.zeros((len(drawn), 0, drawn.shape[1])) if units is None else units
    return np.stack([_with(own, one) for own, one in zip(before, drawn, strict=True)])


def _still(left: Removed) -> Still:
    harmful, harmless = refuses(left.harmful), answers(left.harmless)
    ends = (left.harmful[harmful], left.harmless[harmless])
    return Still(
        harmful=harmful,
        harmless=harmless,
        halfway=float(np.mean([own.mean() for own in ends])) if all(map(len, ends)) else 0.0,
    )


@dataclass(frozen=True, kw_only=True)
class _Control:
    """The numbers of a step with random directions out."""

    refused: RandomRange
    score: RandomRange
    answered: RandomRange
    kl: RandomRange


def _control(ask: Questions, randoms: Float[np.ndarray, "draw direction d_model"]) -> _Control:
    left = [ask.removed("audit", units) for units in randoms]
    return _Control(
        refused=random_range([float(refuses(one.harmful).mean()) for one in left]),
        score=random_range([float(one.harmful.mean()) for one in left]),
        answered=random_range([float(answers(one.harmless).mean()) for one in left]),
        kl=random_range([float(one.kl.mean()) for one in left]),
    )


def _first_control(check: DirectionCheck) -> _Control:
    """The first step's random directions were tried on the same prompts when the direction was."""
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


def _step(found: Direction, left: Removed, control: _Control, seed: int) -> DirectionOut:
    def counted(there: Bool[np.ndarray, " prompt"]) -> Estimate:
        return share(int(there.sum()), len(there))

    return DirectionOut(
        layer=found.selected.layer,
        position=found.selected.position,
        n_train=found.n_train,
        refused=Controlled(own=counted(refuses(left.harmful)), random=control.refused),
        score=Controlled(own=mean(left.harmful, seed=seed), random=control.score),
        answered=Controlled(own=counted(answers(left.harmless)), random=control.answered),
        kl=Controlled(own=mean(left.kl, seed=seed), random=control.kl),
    )
