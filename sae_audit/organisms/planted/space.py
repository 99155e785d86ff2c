"""The residual stream of a planted model: its directions and their meanings.

All directions are orthonormal. One carries a constant so large that RMSNorm divides every token by
nearly the same number, and so is linear; the rest are rotated at random, so that no single coordinate
has a meaning.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sae_audit.organisms.planted.circuit import Circuit, Unit

Vector = Float[np.ndarray, " d_model"]

CONSTANT = 1000.0
"""Value of the constant coordinate, in stream units; norms of the rest are a few units, so RMSNorm is
linear to about one part in 10^5."""
_WORD_DIMENSIONS = 16


@dataclass(frozen=True, kw_only=True)
class Space:
    """Unit directions by meaning."""

    d_model: int
    constant: Vector
    """Axis 0, not rotated, so that no other coordinate is rounded to its size."""
    ballast: Vector
    """Axis 1: a Gemma-2 sublayer writes it to make its output norm linear, and that norm drops it."""
    refusal: Vector
    """The common component of the units' directions."""
    verdict: Vector
    """Written by the last layer and read by the unembedding."""
    template: Vector
    """1 on the tokens after the user's text."""
    said: dict[str, Vector]
    """1 on harm words, by category."""
    heard: dict[str, Vector]
    """Copied by attention from those words to the current token; cleared after each layer."""
    private: dict[str, Vector]
    """The private component of each unit's direction."""
    babbled: tuple[Vector, ...]
    """Written by the last layer and read by the unembedding, one for each babbled word."""
    words: Float[np.ndarray, "word d_model"]
    """Token identities: orthonormal for the words of answers, which come first, random for others."""

    def written(self, unit: Unit) -> Vector:
        """The unit direction that a unit writes to, with cosine `alignment` to the common one."""
        own = np.sqrt(1.0 - unit.alignment**2)
        return unit.alignment * self.refusal + own * self.private[unit.name]

    def read(self, unit: Unit) -> Vector:
        """The vector whose dot product with the stream gives this unit's activation alone."""
        return self.private[unit.name] / np.sqrt(1.0 - unit.alignment**2)


def space_of(circuit: Circuit, *, n_answer_words: int, n_words: int) -> Space:
    """The space of the circuit and its vocabulary, in the smallest usual width."""
    n_named = 4 + 2 * len(circuit.categories) + len(circuit.units) + n_answer_words
    needed = 1 + n_named + _WORD_DIMENSIONS + len(circuit.babbles)
    d_model = next(width for width in (64, 96, 128, 192, 256, 384, 512) if width >= needed)
    random = np.random.default_rng([circuit.seed, circuit.size, *circuit.family.encode()])
    turned = np.linalg.qr(random.standard_normal((d_model - 2, d_model - 2)))[0]
    axes = np.concatenate([np.zeros((d_model - 2, 2)), turned], axis=1)
    rows = iter(axes)
    refusal, verdict, template = next(rows), next(rows), next(rows)
    said = {category: next(rows) for category in circuit.categories}
    heard = {category: next(rows) for category in circuit.categories}
    private = {unit.name: next(rows) for unit in circuit.units}
    answers = [next(rows) for _ in range(n_answer_words)]
    room = np.stack([next(rows) for _ in range(_WORD_DIMENSIONS)])
    babbled = tuple(next(rows) for _ in circuit.babbles)
    others = random.standard_normal((n_words - n_answer_words, _WORD_DIMENSIONS)) @ room
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    unit = np.eye(d_model)
    return Space(
        d_model=d_model,
        constant=unit[0],
        ballast=unit[1],
        refusal=refusal,
        verdict=verdict,
        template=template,
        said=said,
        heard=heard,
        private=private,
        babbled=babbled,
        words=np.concatenate([np.stack(answers), others]),
    )
