"""Trade-offs of steering: refusals of harmful prompts against refusals of harmless ones.

Along a direction every prompt is refused from some strength on. Two directions are one knob if at every
share of harmless prompts refused they refuse the same share of harmful ones, at whatever strengths each
gets there: so prompts are compared by the order in which they come to be refused.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from sae_audit.margins import refuses
from sae_audit.statistics import rank_p_value

_FEWEST_LEVELS = 5
"""Harmless prompts that come to be refused along both directions, below which they are not compared."""
_RESAMPLES = 400

Scores = Float[np.ndarray, "strength prompt"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Steered:
    """Refusal scores (nats) of prompts at each strength, in the order of the strengths."""

    harmful: Float[np.ndarray, "strength harmful"]
    harmless: Float[np.ndarray, "strength harmless"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Order:
    """Strength from which on each prompt is refused, or any number that orders prompts so."""

    harmful: Float[np.ndarray, " harmful"]
    """Minus infinity: at the lowest strength already; infinity: at none."""
    harmless: Float[np.ndarray, " harmless"]

    @property
    def reach(self) -> tuple[float, float]:
        """The least and the largest share of harmless prompts refused."""
        return float(np.isneginf(self.harmless).mean()), float((self.harmless < np.inf).mean())


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far two trade-offs lie apart where both have been measured."""

    over: tuple[float, float]
    """Shares of harmless prompts refused between which they are compared."""
    area: float
    """Mean absolute difference of the shares of harmful prompts refused, over that range."""
    gain: float
    """The same with its sign: above 0 if the first refuses more harmful prompts."""
    upper: float
    """95% quantile of the area over resampled prompts. Resampling adds noise, and noise adds area: a
    bound that is rather too high."""
    p_value: float
    """Share of random exchanges of the two, prompt by prompt, under which the area is as large, the own
    one among them."""


def order_of(steered: Steered, strengths: Float[np.ndarray, " strength"]) -> Order:
    """The strengths from which on prompts are refused, scores on straight lines between the strengths;
    of a prompt that comes to be refused more than once, the first."""
    return Order(
        harmful=_crossings(steered.harmful, strengths),
        harmless=_crossings(steered.harmless, strengths),
    )


def threshold_order(clean: Steered) -> Order:
    """The null of a knob that reads nothing: all clean scores raised alike. To a first-token score that
    is a bias of the refusal tokens."""
    return Order(harmful=-clean.harmful[0], harmless=-clean.harmless[0])


def threshold_moved(clean: Steered, steered: Steered) -> Steered:
    """The same as scores: raised at each strength by as much as steering raises them on average."""
    scores = np.concatenate([steered.harmful, steered.harmless], axis=1)
    own = np.concatenate([clean.harmful, clean.harmless], axis=1)
    raised = (scores - own).mean(axis=1, keepdims=True)
    return Steered(harmful=clean.harmful + raised, harmless=clean.harmless + raised)


def difference(one: Order, other: Order, *, n_permutations: int, seed: int) -> Difference | None:
    """The difference of two trade-offs on the same prompts; None if along one of them too few harmless
    prompts come to be refused."""
    low, high = (
        max(one.reach[0], other.reach[0]),
        min(one.reach[1], other.reach[1]),
    )
    n_harmful, n_harmless = len(one.harmful), len(one.harmless)
    n_levels = round((high - low) * n_harmless)
    if n_levels < _FEWEST_LEVELS:
        return None
    # Between steps of the share, where it is certain who has been refused.
    levels = low + (np.arange(n_levels) + 0.5) / n_harmless
    first, second = _ranks(one), _ranks(other)
    draws = np.random.default_rng(seed)

    def exchanged() -> float:
        swap = [draws.random(n) < 0.5 for n in (n_harmful, n_harmless)]
        dealt = [
            Order(
                harmful=np.where(swap[0], b.harmful, a.harmful),
                harmless=np.where(swap[1], b.harmless, a.harmless),
            )
            for a, b in ((first, second), (second, first))
        ]
        return _area(dealt[0], dealt[1], levels)

    def resampled() -> float:
        harmful = draws.integers(0, n_harmful, n_harmful)
        harmless = draws.integers(0, n_harmless, n_harmless)
        drawn = [
            Order(harmful=own.harmful[harmful], harmless=own.harmless[harmless])
            for own in (first, second)
        ]
        return _area(drawn[0], drawn[1], levels)

    gains = _refused_at(first, levels) - _refused_at(second, levels)
    area = float(np.abs(gains).mean())
    return Difference(
        over=(low, high),
        area=area,
        gain=float(gains.mean()),
        upper=float(np.quantile([resampled() for _ in range(_RESAMPLES)], 0.95)),
        p_value=rank_p_value(area, [exchanged() for _ in range(n_permutations)]),
    )


def headroom(order: Order) -> float:
    """Mean share of harmful prompts not refused, over all shares of harmless ones: by how much a knob
    could refuse more. Near 0 if the two kinds are told apart without exception, and then any direction
    that raises all scores trades alike."""
    n = len(order.harmless)
    return float(1.0 - _refused_at(_ranks(order), (np.arange(n) + 0.5) / n).mean())


def _crossings(
    scores: Scores, strengths: Float[np.ndarray, " strength"]
) -> Float[np.ndarray, " prompt"]:
    refused = refuses(scores)
    last = np.argmax(refused, axis=0)
    columns = np.arange(scores.shape[1])
    before = np.maximum(last - 1, 0)
    lower, upper = scores[before, columns], scores[last, columns]
    rise = upper - lower
    share = np.divide(-lower, rise, out=np.zeros_like(rise), where=rise > 0.0)
    found = strengths[before] + share * (strengths[last] - strengths[before])
    found = np.where(last == 0, -np.inf, found)
    return np.where(refused.any(axis=0), found, np.inf)


def _ranks(order: Order) -> Order:
    """Places among all prompts, which do not depend on the unit of strength."""
    ranks = stats.rankdata(np.concatenate([order.harmful, order.harmless]))
    return Order(harmful=ranks[: len(order.harmful)], harmless=ranks[len(order.harmful) :])


def _refused_at(order: Order, levels: Float[np.ndarray, " level"]) -> Float[np.ndarray, " level"]:
    """Shares of harmful prompts refused at shares of harmless ones; straight between equal places."""
    places = np.unique(np.concatenate([order.harmful, order.harmless]))
    refused, over = (
        np.searchsorted(np.sort(own), places, side="right") / len(own)
        for own in (order.harmful, order.harmless)
    )
    return np.interp(levels, np.append(0.0, over), np.append(0.0, refused))


def _area(one: Order, other: Order, levels: Float[np.ndarray, " level"]) -> float:
    return float(np.abs(_refused_at(one, levels) - _refused_at(other, levels)).mean())
