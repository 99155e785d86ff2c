"""A set function asked by masks, each set at most once."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from sae_audit.vocabulary import FeatureId, Score


class Asked:
    """Set function of masks that remembers each set's score."""

    def __init__(self, score: Score, players: Sequence[FeatureId]) -> None:
        assert len(set(players)) == len(players), players
        self._score = score
        self._players = np.array(players, dtype=object)
        self._known: dict[bytes, float] = {}

    @property
    def n(self) -> int:
        """Number of players."""
        return len(self._players)

    @property
    def n_sets(self) -> int:
        """Number of distinct sets scored so far."""
        return len(self._known)

    def __call__(self, masks: Bool[np.ndarray, "mask player"]) -> Float[np.ndarray, " mask"]:
        """The score of each row, True if a player is ablated."""
        keys = [np.packbits(mask).tobytes() for mask in masks]
        fresh = {key: mask for key, mask in zip(keys, masks, strict=True) if key not in self._known}
        if fresh:
            scores = self._score([frozenset(self._players[mask]) for mask in fresh.values()])
            self._known |= zip(fresh, map(float, scores), strict=True)
        return np.array([self._known[key] for key in keys])
