"""What drawings of families have in common: their scale, and what the seed decides."""

import numpy as np

from sae_audit.organisms.planted.circuit import Circuit, Read, Unit

OFFSET = -3.0
SLOPE = 6.0
"""Nats: the score where no unit is active, and what units that refuse in full add to it."""
INHIBITION = -1.5
"""More than enough: an inhibited unit is silent with a margin, not by an exact cancellation."""
HARM = {"harm": 1.0}


class Draw:
    """What the seed decides."""

    def __init__(self, seed: int, family: str) -> None:
        self.random = np.random.default_rng([seed, *family.encode()])

    def alignment(self) -> float:
        return round(float(self.random.uniform(0.45, 0.75)), 3)

    def layer(self, first: int, last: int) -> int:
        return int(self.random.integers(first, last + 1))


def circuit_of(
    family: str, size: int, seed: int, units: list[Unit], reads: list[Read], offset: float = OFFSET
) -> Circuit:
    return Circuit(
        family=family, size=size, seed=seed, units=tuple(units), reads=tuple(reads), offset=offset
    )
