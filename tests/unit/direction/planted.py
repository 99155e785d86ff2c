"""A planted network whose refusal is written at one layer.

Every prompt's stream begins with its position's constant, noise and, if harmful, a code of either sign
that alternates, so that class means tell nothing. Layer `written_at` writes the refusal direction if it
finds the code; each later layer writes a consequence of its own, in proportion to the direction that it
finds. So later candidates hold the consequences too, and the planted layer's is the cleanest one.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from sae_audit.direction.methods import Means
from sae_audit.vocabulary import SCORE_BOUND

D_MODEL = 32
_STRENGTH, _CONSEQUENCE = 6.0, 0.3
_Rows = Float[np.ndarray, "row d_model"]


@dataclass(kw_only=True, eq=False)
class PlantedRefuser:
    n_layers: int = 10
    n_positions: int = 2
    written_at: int = 4
    reads: bool = True
    """Whether the tokens given are those that refusal raises; else the score is constant."""
    long_layer: int | None = None
    """Whose stream is a hundred times as long as the others'."""
    n_train: int = 24
    n: int = 12
    """Validation prompts of each label."""
    kl_of_all: float = 0.01
    seed: int = 0
    asked: Counter[str] = field(default_factory=Counter[str])

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        basis = np.linalg.qr(random.normal(size=(D_MODEL, D_MODEL)))[0].T
        self.direction, self._code, self._constant, *self._consequences = basis
        self.means = Means(
            harmful=self._means(random, refused=True), harmless=self._means(random, refused=False)
        )
        self._begun = [self._beginnings(random, self.n, refused=label) for label in (True, False)]

    def _beginnings(self, random: np.random.Generator, n: int, *, refused: bool) -> _Rows:
        sign = (-1.0) ** np.arange(n)[:, None]
        noise = 0.2 * random.normal(size=(n, D_MODEL))
        return 3.0 * self._constant + refused * 2.0 * sign * self._code + noise

    def _means(
        self, random: np.random.Generator, *, refused: bool
    ) -> Float[np.ndarray, "layer position d_model"]:
        of_positions = [
            self._run(self._beginnings(random, self.n_train, refused=refused)).mean(axis=0)
            for _ in range(self.n_positions)
        ]
        return np.stack(of_positions, axis=1)

    def _run(
        self,
        stream: _Rows,
        out: Callable[[_Rows], _Rows] = lambda stream: stream,
        added: _Rows | None = None,
        added_at: Sequence[int] = (),
    ) -> Float[np.ndarray, "row layer d_model"]:
        found: list[_Rows] = []
        stream = out(stream)
        for layer in range(self.n_layers):
            stream = stream + out(self._written(layer, stream))
            if added is not None:
                stream = stream + (np.array(added_at) == layer)[:, None] * added
            found.append(stream)
        return np.stack(found, axis=1)

    def _written(self, layer: int, stream: _Rows) -> _Rows:
        before = 1.0
        written = np.zeros_like(stream)
        if self.long_layer is not None and layer == self.long_layer + 1:
            before = 100.0
            written = stream / before - stream
        if layer == self.written_at:
            sees = np.abs(stream @ self._code) / before > 0.9
            written = written + _STRENGTH * sees[:, None] * self.direction
        elif layer > self.written_at:
            felt = stream @ self.direction / before
            written = written + _CONSEQUENCE * felt[:, None] * self._consequences[layer]
        return written + 99.0 * (stream + written) * (layer == self.long_layer)

    @property
    def n_harmful(self) -> int:
        return self.n

    @property
    def n_harmless(self) -> int:
        return self.n

    @property
    def score_bound(self) -> float:
        return SCORE_BOUND if not self.reads else np.inf

    @property
    def least_kl(self) -> Float[np.ndarray, " harmless"]:
        return np.full(self.n, -0.001)

    def bypass(self, directions: _Rows, prompts: Sequence[int]) -> Float[np.ndarray, " row"]:
        self.asked["bypass"] += len(prompts)
        return self._scores(self._run(self._begun[0][list(prompts)], _without(directions)))

    def kl(self, directions: _Rows, prompts: Sequence[int]) -> Float[np.ndarray, " row"]:
        self.asked["kl"] += len(prompts)
        return np.full(len(directions), self.kl_of_all)

    def induce(
        self, directions: _Rows, prompts: Sequence[int], layers: Sequence[int]
    ) -> Float[np.ndarray, " row"]:
        self.asked["induce"] += len(prompts)
        return self._scores(
            self._run(self._begun[1][list(prompts)], added=directions, added_at=layers)
        )

    def _scores(self, streams: Float[np.ndarray, "row layer d_model"]) -> Float[np.ndarray, " row"]:
        if not self.reads:
            return np.full(len(streams), -SCORE_BOUND)
        return 2.0 * streams[:, -1] @ self.direction - _STRENGTH

    def clean_streams(
        self, layers: Sequence[int]
    ) -> tuple[
        Float[np.ndarray, "harmful layer d_model"], Float[np.ndarray, "harmless layer d_model"]
    ]:
        harmful, harmless = (self._run(own)[:, list(layers)] for own in self._begun)
        return harmful, harmless

    def streams_without(
        self, directions: _Rows, prompts: Sequence[int], layers: Sequence[int]
    ) -> Float[np.ndarray, "row layer d_model"]:
        self.asked["streams_without"] += len(prompts)
        run = self._run(self._begun[0][list(prompts)], _without(directions))
        return run[:, list(layers)]

    def streams_with(
        self,
        directions: _Rows,
        prompts: Sequence[int],
        added_at: Sequence[int],
        layers: Sequence[int],
    ) -> Float[np.ndarray, "row layer d_model"]:
        self.asked["streams_with"] += len(prompts)
        run = self._run(self._begun[1][list(prompts)], added=directions, added_at=added_at)
        return run[:, list(layers)]


def _without(directions: _Rows) -> Callable[[_Rows], _Rows]:
    units = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return lambda stream: stream - (stream * units).sum(axis=1, keepdims=True) * units
