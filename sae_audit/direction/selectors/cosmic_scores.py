"""COSMIC scores (2506.00085): how far a direction turns one label's residual stream into the other's."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sae_audit.direction.methods import Means


def evaluation_layers(means: Means) -> list[int]:
    """The tenth of layers, at least one, whose harmful and harmless last-token means differ most in
    cosine.

    The last layer is left out: the authors read it after the final norm.
    """
    n_layers = means.n_layers
    readable = max(1, n_layers - 1)
    both = zip(means.harmful[:readable, -1], means.harmless[:readable, -1], strict=True)
    cosines = np.array([cosine(harmful, harmless) for harmful, harmless in both])
    lowest = np.argsort(np.nan_to_num(cosines, nan=1.0), kind="stable")[: max(1, n_layers // 10)]
    return sorted(lowest.tolist())


@dataclass(frozen=True, kw_only=True, eq=False)
class Likeness:
    """Likeness of one label's prompts under intervention to the other label's clean ones."""

    cosine: float
    """Cosine of the two means over prompts and layers, not normalised."""
    by_layer: float
    """Mean over layers of the cosine between the two means over prompts."""
    influence: Float[np.ndarray, " prompt"]
    """First-order change of `cosine` by each prompt, times the number of prompts; mean 0."""


def likeness(
    changed: Float[np.ndarray, "prompt layer d_model"],
    other: Float[np.ndarray, "other layer d_model"],
) -> Likeness:
    """Likeness of residual streams at the last token, in the evaluation layers."""
    of_layer = zip(changed.mean(axis=0), other.mean(axis=0), strict=True)
    each, towards = changed.mean(axis=1), other.mean(axis=(0, 1))
    own, found = each.mean(axis=0), cosine(each.mean(axis=0), towards)
    with np.errstate(divide="ignore", invalid="ignore"):
        length = np.linalg.norm(own)
        slope = (towards / np.linalg.norm(towards) - found * own / length) / length
    return Likeness(
        cosine=found,
        by_layer=float(np.mean([cosine(a, b) for a, b in of_layer])),
        influence=(each - own) @ slope,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Score:
    """A candidate's COSMIC score, at most 2."""

    ablated: Likeness
    """Harmful prompts with the direction projected out, to harmless ones."""
    added: Likeness
    """Harmless prompts with the direction added, to harmful ones."""

    @property
    def value(self) -> float:
        return self.ablated.cosine + self.added.cosine

    @property
    def by_layer(self) -> float:
        return self.ablated.by_layer + self.added.by_layer

    @property
    def standard_error(self) -> float:
        """Over the prompts intervened on; those compared with are taken as fixed."""
        return _error(self.ablated.influence, self.added.influence)

    def is_near(self, other: "Score") -> bool:
        """Whether the scores differ by at most one standard error of their paired difference."""
        return abs(other.value - self.value) <= _error(
            other.ablated.influence - self.ablated.influence,
            other.added.influence - self.added.influence,
        )


def _error(*influences: Float[np.ndarray, " prompt"]) -> float:
    variances = [float((own**2).mean()) / max(1, len(own) - 1) for own in influences]
    return float(np.sqrt(sum(variances)))


def cosine(a: Float[np.ndarray, " d_model"], b: Float[np.ndarray, " d_model"]) -> float:
    """Cosine of two vectors; NaN if one is zero."""
    with np.errstate(invalid="ignore"):
        return float(np.divide(a @ b, np.linalg.norm(a) * np.linalg.norm(b)))
