"""Common parts of the families' circuits: their scale and the seed's draws."""

import numpy as np

from sae_audit.organisms.planted.circuit import Circuit, Read, Unit

OFFSET = -3.0
SLOPE = 6.0
"""Nats that fully active refusing units add to `OFFSET`, the score without active units (nats)."""
INHIBITION = -1.5
"""Weight (activation per activation) of an inhibition; large enough to silence a unit with a margin."""
HARM = {"harm": 1.0}


class Draw:
    """The draws of one seed."""

    def __init__(self, seed: int, family: str) -> None:
        self.random = np.random.default_rng([seed, *family.encode()])

    def alignment(self) -> float:
        return round(float(self.random.uniform(0.45, 0.75)), 3)

    def layer(self, first: int, last: int) -> int:
        return int(self.random.integers(first, last + 1))


def circuit_of(
    family: str,
    size: int,
    seed: int,
    units: list[Unit],
    reads: list[Read],
    offset: float = OFFSET,
    babbles: tuple[Read, ...] = (),
) -> Circuit:
    return Circuit(
        family=family,
        size=size,
        seed=seed,
        units=tuple(units),
        reads=tuple(reads),
        offset=offset,
        babbles=babbles,
    )
