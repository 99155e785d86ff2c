"""Set functions with exactly known pair weights: additive sums of gadgets over features.

A gadget is a table over its few features, so every second difference of the sum is a finite average. If
a logistic curve saturates the sum, gadget values lie on a lattice and averages over all 2^n masks are
sums over a convolution of the gadgets' distributions, still exact.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Complex, Float

from sae_audit.vocabulary import FeatureId, FeatureSet

_LATTICE = 0.01
"""Nats between possible values of a gadget's table."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Gadget:
    """Contribution of a few features to the score, for each of their joint states."""

    members: tuple[int, ...]
    """Indices among the game's players."""
    table: Float[np.ndarray, " state"]
    """Nats, by state; bit b of a state says whether the b-th member is ablated."""

    def values(self, masks: Bool[np.ndarray, "mask player"]) -> Float[np.ndarray, " mask"]:
        return self.table[masks[:, self.members] @ (1 << np.arange(len(self.members)))]

    @property
    def signs(self) -> Float[np.ndarray, "state member"]:
        """+1 if the member is ablated in that state, else -1."""
        states = np.arange(len(self.table))[:, None]
        return 2.0 * (states >> np.arange(len(self.members)) & 1) - 1.0


@dataclass(frozen=True, kw_only=True)
class Saturation:
    """`height * logistic((sum - centre) / scale)` in place of the sum of gadgets."""

    height: float
    centre: float
    scale: float

    def __call__(self, total: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        return self.height / (1.0 + np.exp(-(total - self.centre) / self.scale))


@dataclass(frozen=True, kw_only=True, eq=False)
class Game:
    """A refusal score made of gadgets over disjoint features; a `Score` by being called."""

    name: str
    players: tuple[FeatureId, ...]
    gadgets: tuple[Gadget, ...]
    saturation: Saturation | None = None

    def __call__(self, sets: Sequence[FeatureSet]) -> Float[np.ndarray, " set"]:
        place = {player: i for i, player in enumerate(self.players)}
        masks = np.zeros((len(sets), len(self.players)), dtype=bool)
        for row, ablated in enumerate(sets):
            masks[row, [place[feature] for feature in ablated]] = True
        return self.of_masks(masks)

    def of_masks(self, masks: Bool[np.ndarray, "mask player"]) -> Float[np.ndarray, " mask"]:
        """The score of each row, True if a player is ablated; nats."""
        total = np.sum([gadget.values(masks) for gadget in self.gadgets], axis=0)
        return total if self.saturation is None else self.saturation(total)

    @cached_property
    def truth(self) -> Float[np.ndarray, "player player"]:
        """Second difference of every pair averaged over all states of the others (Banzhaf), nats."""
        weights = np.zeros((len(self.players), len(self.players)))
        if self.saturation is None:
            for gadget in self.gadgets:
                members = np.array(gadget.members)
                within = gadget.signs.T * gadget.table @ gadget.signs
                weights[np.ix_(members, members)] += 4.0 * within / len(gadget.table)
        else:
            weights += _saturated_truth(self.gadgets, self.saturation, len(self.players))
        np.fill_diagonal(weights, 0.0)
        return weights


def _saturated_truth(
    gadgets: Sequence[Gadget], saturation: Saturation, n_players: int
) -> Float[np.ndarray, "player player"]:
    """`4 E[y s_i s_j]`, s = +-1: the expectation of the curve under signed convolutions."""
    steps = [np.round(gadget.table / _LATTICE).astype(int) for gadget in gadgets]
    lowest = sum(int(step.min()) for step in steps)
    size = 1 << int(sum(int(np.ptp(step)) for step in steps) + 1).bit_length()
    curve = np.fft.rfft(saturation((lowest + np.arange(size)) * _LATTICE))
    transforms = [_signed(g, step, size) for g, step in zip(gadgets, steps, strict=True)]
    plain = [transform.plain for transform in transforms]
    weights = np.zeros((n_players, n_players))
    for a, first in enumerate(transforms):
        others = np.prod(plain[:a] + plain[a + 1 :], axis=0) * np.conj(curve)
        for i, j, transform in first.pairs:
            weights[i, j] = weights[j, i] = 4.0 * _expectation(others * transform, size)
        for b in range(a + 1, len(transforms)):
            rest = np.prod(plain[:a] + plain[a + 1 : b] + plain[b + 1 :], axis=0) * np.conj(curve)
            for i, of_i in transforms[a].single.items():
                left = rest * of_i
                for j, of_j in transforms[b].single.items():
                    weights[i, j] = weights[j, i] = 4.0 * _expectation(left * of_j, size)
    return weights


@dataclass(frozen=True, kw_only=True, eq=False)
class _Transforms:
    """Fourier transforms of one gadget's distribution: plain, and signed by one or two members."""

    plain: Complex[np.ndarray, " frequency"]
    single: dict[int, Complex[np.ndarray, " frequency"]]
    pairs: list[tuple[int, int, Complex[np.ndarray, " frequency"]]]


def _signed(gadget: Gadget, steps: np.ndarray, size: int) -> _Transforms:
    def transform(signs: np.ndarray) -> Complex[np.ndarray, " frequency"]:
        measure = np.zeros(size)
        np.add.at(measure, steps - steps.min(), signs / len(steps))
        return np.fft.rfft(measure)

    signs, members = gadget.signs, gadget.members
    return _Transforms(
        plain=transform(np.ones(len(steps))),
        single={i: transform(signs[:, a]) for a, i in enumerate(members)},
        pairs=[
            (members[a], members[b], transform(signs[:, a] * signs[:, b]))
            for a in range(len(members))
            for b in range(a + 1, len(members))
        ],
    )


def _expectation(spectrum: Complex[np.ndarray, " frequency"], size: int) -> float:
    """Sum over the lattice of curve times measure, by Parseval."""
    counted = np.full(len(spectrum), 2.0)
    counted[0] = counted[-1] = 1.0
    return float((counted * np.real(spectrum)).sum() / size)


Build = Callable[[Sequence[int], np.random.Generator], Gadget]


def _table(members: Sequence[int], value: Callable[[np.ndarray], float]) -> Gadget:
    states = np.arange(1 << len(members))[:, None] >> np.arange(len(members)) & 1
    table = np.array([value(state) for state in states])
    return Gadget(members=tuple(members), table=_on_lattice(table))


def _on_lattice(nats: np.ndarray) -> np.ndarray:
    return np.round(nats / _LATTICE) * _LATTICE


def _weight(random: np.random.Generator, low: float, high: float) -> float:
    return float(_on_lattice(random.uniform(low, high, 1))[0])


def main_effect(members: Sequence[int], random: np.random.Generator) -> Gadget:
    """A single feature with a weak effect."""
    weight = _weight(random, -0.4, 0.1)
    return _table(members, lambda z: float(weight * z.sum()))


def redundant(members: Sequence[int], random: np.random.Generator) -> Gadget:
    """Members each of which alone holds the score up; it falls once all are ablated."""
    weight = _weight(random, 0.5, 3.0)
    return _table(members, lambda z: -float(weight * z.all()) - 0.1 * float(z.sum()))


def shared_path(members: Sequence[int], random: np.random.Generator) -> Gadget:
    """Links of one chain; the score falls if any is ablated."""
    weight = _weight(random, 0.5, 3.0)
    return _table(members, lambda z: -float(weight * z.any()) - 0.1 * float(z.sum()))


def hub(members: Sequence[int], random: np.random.Generator) -> Gadget:
    """A first member that compensates for each of the others."""
    weights = _on_lattice(random.uniform(0.4, 1.5, len(members) - 1))
    return _table(members, lambda z: -float(z[0] * (weights @ z[1:])) - 0.2 * float(z.sum()))


def vote(members: Sequence[int], random: np.random.Generator) -> Gadget:
    """A vote: the score falls once k members (at most two thirds) are ablated; weights of low rank."""
    k = int(random.integers(2, max(3, 2 * len(members) // 3)))
    weight = _weight(random, 2.0, 4.0)
    return _table(members, lambda z: -float(weight * (z.sum() >= k)))


def saturated_read(members: Sequence[int], random: np.random.Generator) -> Gadget:
    """A logistic read of the members' sum, flat if few or nearly all are ablated."""
    writes = random.uniform(0.6, 1.4, len(members))
    threshold = random.uniform(0.3, 0.7) * writes.sum()
    height = random.uniform(2.0, 4.0)
    return _table(members, lambda z: -float(height / (1 + np.exp(-3.0 * (writes @ z - threshold)))))


_SIZES: dict[Build, tuple[int, int]] = {
    redundant: (2, 3),
    shared_path: (2, 3),
    hub: (5, 9),
    vote: (3, 6),
    saturated_read: (3, 6),
}
"""Fewest and most members of each gadget."""

GAMES: dict[str, tuple[Build, ...]] = {
    "pairs": (redundant, shared_path),
    "hubs": (hub, shared_path),
    "votes": (vote, redundant),
    "saturated reads": (saturated_read,),
    "mixed": (redundant, shared_path, hub, vote, saturated_read),
    "saturated sum": (redundant, shared_path, hub, vote, saturated_read),
}
"""Gadgets that each game mixes, by its name; the last game's sum is saturated as a whole."""


def planted_game(name: str, n_players: int, seed: int) -> Game:
    """A game of `GAMES`: gadgets on about two thirds of the players, weak effects on the others."""
    random = np.random.default_rng([seed, n_players, list(GAMES).index(name)])
    free = [int(i) for i in random.permutation(n_players)]
    gadgets: list[Gadget] = []
    kinds = GAMES[name]
    while len(free) > n_players // 3:
        kind = kinds[len(gadgets) % len(kinds)]
        low, high = _SIZES[kind]
        size = min(int(random.integers(low, high + 1)), len(free))
        if size < low:
            break
        gadgets.append(kind([free.pop() for _ in range(size)], random))
    gadgets += [main_effect([i], random) for i in free]
    return Game(
        name=name,
        players=tuple(FeatureId(i // 32, i % 32) for i in range(n_players)),
        gadgets=tuple(gadgets),
        saturation=_saturation(gadgets) if name == "saturated sum" else None,
    )


def _saturation(gadgets: Sequence[Gadget]) -> Saturation:
    """A curve centred on the sum with half of the features ablated."""
    centre = sum(float(gadget.table.mean()) for gadget in gadgets)
    deviation = float(np.sqrt(sum(float(gadget.table.var()) for gadget in gadgets)))
    return Saturation(height=4.0 * deviation, centre=centre, scale=0.7 * deviation)


def single_effect(members: Sequence[int], random: np.random.Generator) -> Gadget:
    """A single feature whose effect is of any size."""
    weight = float(_on_lattice(random.exponential(1.0, 1))[0])
    return _table(members, lambda z: -float(weight * z.sum()))


def read_out_game(
    n_players: int, seed: int, *, kind: Build | None = None, n_pairs: int = 0, saturated: bool
) -> Game:
    """Single effects of all sizes and `n_pairs` pairs of a `kind`, through one curve if `saturated`.

    The curve is logistic over 13.9 nats (a score between a ceiling and a floor), at most two and a half
    deviations of the sum steep, with its centre beside the sum's. Without pairs nothing interacts but
    through it.
    """
    random = np.random.default_rng([seed, n_players, n_pairs])
    free = [int(i) for i in random.permutation(n_players)]
    gadgets: list[Gadget] = []
    if kind is not None:
        gadgets += [kind([free.pop(), free.pop()], random) for _ in range(n_pairs)]
    gadgets += [single_effect([i], random) for i in free]
    centre = sum(float(gadget.table.mean()) for gadget in gadgets)
    deviation = float(np.sqrt(sum(float(gadget.table.var()) for gadget in gadgets)))
    scale = deviation / random.uniform(1.0, 2.5)
    curve = Saturation(height=13.9, centre=centre + scale * random.uniform(-1.5, 1.5), scale=scale)
    return Game(
        name="read-out",
        players=tuple(FeatureId(i // 32, i % 32) for i in range(n_players)),
        gadgets=tuple(gadgets),
        saturation=curve if saturated else None,
    )
