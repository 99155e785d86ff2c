"""Trade-offs of steering: refusals of harmful prompts against refusals of harmless ones.

Along a direction, at growing strengths, both shares rise. Two directions are one knob if at every share
of harmless prompts refused they refuse the same share of harmful ones.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sae_audit.margins import refuses
from sae_audit.statistics import rank_p_value

_GRID = np.linspace(0.0, 1.0, 101)
_RESAMPLES = 400


@dataclass(frozen=True, kw_only=True, eq=False)
class Steered:
    """Refusal scores (nats) of prompts at each strength, in the order of the strengths."""

    harmful: Float[np.ndarray, "strength harmful"]
    harmless: Float[np.ndarray, "strength harmless"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far two trade-offs lie apart."""

    area: float
    """Mean absolute difference of the shares of harmful prompts refused, over all shares of harmless
    prompts refused."""
    upper: float
    """95% quantile of the area over resampled prompts. Resampling adds noise, and noise adds area: a
    bound that is rather too high."""
    p_value: float
    """Share of random exchanges of the two directions, prompt by prompt, under which the area is as
    large, the own one among them."""


def harmful_by_harmless(steered: Steered) -> Float[np.ndarray, " share"]:
    """Share of harmful prompts refused at 0%, 1% ... 100% of harmless prompts refused: straight lines
    between the strengths, from nothing refused to all."""
    over = np.concatenate([[0.0], refuses(steered.harmless).mean(axis=1), [1.0]])
    refused = np.concatenate([[0.0], refuses(steered.harmful).mean(axis=1), [1.0]])
    # Of strengths that refuse as many harmless prompts, a line comes in at the fewest harmful ones
    # and goes on from the most.
    order = np.lexsort((refused, over))
    return np.interp(_GRID, over[order], refused[order])


def area_between(one: Steered, other: Steered) -> float:
    """`Difference.area`."""
    return float(np.abs(harmful_by_harmless(one) - harmful_by_harmless(other)).mean())


def difference(one: Steered, other: Steered, *, n_permutations: int, seed: int) -> Difference:
    """The difference of two trade-offs on the same prompts, at as many strengths."""
    draws = np.random.default_rng(seed)
    n_harmful, n_harmless = one.harmful.shape[1], one.harmless.shape[1]

    def exchanged() -> float:
        over_harmful = draws.random(n_harmful) < 0.5
        over_harmless = draws.random(n_harmless) < 0.5
        return area_between(
            Steered(
                harmful=np.where(over_harmful, other.harmful, one.harmful),
                harmless=np.where(over_harmless, other.harmless, one.harmless),
            ),
            Steered(
                harmful=np.where(over_harmful, one.harmful, other.harmful),
                harmless=np.where(over_harmless, one.harmless, other.harmless),
            ),
        )

    def resampled() -> float:
        harmful = draws.integers(0, n_harmful, n_harmful)
        harmless = draws.integers(0, n_harmless, n_harmless)
        return area_between(
            Steered(harmful=one.harmful[:, harmful], harmless=one.harmless[:, harmless]),
            Steered(harmful=other.harmful[:, harmful], harmless=other.harmless[:, harmless]),
        )

    area = area_between(one, other)
    return Difference(
        area=area,
        upper=float(np.quantile([resampled() for _ in range(_RESAMPLES)], 0.95)),
        p_value=rank_p_value(area, [exchanged() for _ in range(n_permutations)]),
    )


def threshold_moved(clean: Steered, steered: Steered) -> Steered:
    """The null of a knob that reads nothing: all clean scores raised alike, at each strength by as much
    as steering raises them on average. To a first-token score that is a bias of the refusal tokens."""
    scores = np.concatenate([steered.harmful, steered.harmless], axis=1)
    own = np.concatenate([clean.harmful, clean.harmless], axis=1)
    raised = (scores - own).mean(axis=1, keepdims=True)
    return Steered(harmful=clean.harmful + raised, harmless=clean.harmless + raised)
