"""Ablation masks to measure."""

import numpy as np
from jaxtyping import Bool

from sae_audit.interactions.pair_model import Masks


def draw_masks(n_players: int, n_masks: int, seed: int) -> tuple[Masks, str]:
    """Distinct masks and the name of their design.

    `all`: every mask, if there are at most `n_masks`. `random`: each feature with probability one half,
    so that products of different features are uncorrelated and the average over masks is that of the
    Banzhaf weight.
    """
    assert n_players >= 1, n_players
    if n_players < 31 and 2**n_players <= n_masks:
        return _all_masks(n_players), "all"
    random = np.random.default_rng(seed)
    rows: dict[bytes, None] = {}
    while len(rows) < n_masks:
        rows.setdefault((random.random(n_players) < 0.5).astype(np.uint8).tobytes())
    stacked = np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(-1, n_players)
    return stacked.astype(bool), "random"


def _all_masks(n_players: int) -> Masks:
    return (np.arange(2**n_players)[:, None] >> np.arange(n_players) & 1).astype(bool)


def held_out_rows(n_masks: int, seed: int) -> Bool[np.ndarray, " mask"]:
    """Selection of the quarter of masks on which nothing is fitted or chosen."""
    order = np.random.default_rng([seed, n_masks]).permutation(n_masks)
    return order < n_masks // 4
