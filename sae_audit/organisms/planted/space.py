"""The residual stream of a planted model: which direction means what.

All directions are orthonormal. One carries a constant so large that RMSNorm divides every token by
nearly the same number, and so is linear; the rest are turned at random, so that no coordinate means
anything by itself.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sae_audit.organisms.planted.circuit import Circuit, Unit

Vector = Float[np.ndarray, " d_model"]

CONSTANT = 1000.0
"""Value of the constant coordinate: norms of the rest are a few units, so RMSNorm is linear to about
one part in 10^5."""
_WORD_DIMENSIONS = 16


@dataclass(frozen=True, kw_only=True)
class Space:
    """Directions by meaning, each of length one."""

    d_model: int
    constant: Vector
    """Axis 0: left unturned, so that no other coordinate is rounded to its size."""
    ballast: Vector
    """Axis 1: what a Gemma-2 sublayer writes so that its own output norm is linear; dropped there."""
    refusal: Vector
    """What unit directions have in common."""
    verdict: Vector
    """What the last layer writes and the unembedding reads."""
    template: Vector
    """1 on the tokens after the user's text."""
    said: dict[str, Vector]
    """1 on words of harm, by category."""
    heard: dict[str, Vector]
    """What attention brought from those words to the current token; gone after each layer."""
    private: dict[str, Vector]
    """The part of each unit's direction that is its own."""
    words: Float[np.ndarray, "word d_model"]
    """Token identities: orthonormal for the words of answers, which come first, random for others."""

    def written(self, unit: Unit) -> Vector:
        """The direction a unit writes to: length one, cosine `alignment` with the common one."""
        own = np.sqrt(1.0 - unit.alignment**2)
        return unit.alignment * self.refusal + own * self.private[unit.name]

    def read(self, unit: Unit) -> Vector:
        """What reads a unit's activation off the stream, and nothing else's."""
        return self.private[unit.name] / np.sqrt(1.0 - unit.alignment**2)


def space_of(circuit: Circuit, *, n_answer_words: int, n_words: int) -> Space:
    """Directions enough for the circuit and its vocabulary, in the smallest usual width."""
    n_named = 4 + 2 * len(circuit.categories) + len(circuit.units) + n_answer_words
    needed = 1 + n_named + _WORD_DIMENSIONS
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
        words=np.concatenate([np.stack(answers), others]),
    )
