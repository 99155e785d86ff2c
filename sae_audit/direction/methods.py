"""Interfaces of the methods that find the refusal direction.

An ESTIMATOR turns means of the residual stream into candidate directions and asks the model nothing. A
SELECTOR chooses one of them by its effects on validation prompts, the only ones it can ask about
(`vocabulary.CandidateQuestions`). Each works with any of the other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from sae_audit.config import DirectionSettings
from sae_audit.direction.filters import Chosen
from sae_audit.findings import (
    DirectionEvaluation,
    DirectionSelection,
    StoppedDirection,
)
from sae_audit.vocabulary import CandidateQuestions

Asked = Callable[[int, int], None]
"""Receives the number of candidates settled so far and the number of all."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Means:
    """Mean `resid_post` of training prompts that the model treats as labelled."""

    harmful: Float[np.ndarray, "layer template d_model"]
    """By layer and template position; the last position is the prompt's last token."""
    harmless: Float[np.ndarray, "layer template d_model"]

    @property
    def n_layers(self) -> int:
        return len(self.harmful)


@dataclass(frozen=True, kw_only=True, eq=False)
class CandidateDirections:
    """Directions to choose among, at most one per layer and template position."""

    vectors: Float[np.ndarray, "candidate d_model"]
    """Not normalised."""
    layers: tuple[int, ...]
    """Layer whose `resid_post` each direction is read at and added to."""
    positions: tuple[int, ...]
    """Template position at which each direction is read; -1 is the prompt's last token."""

    def __post_init__(self) -> None:
        pairs = list(zip(self.layers, self.positions, strict=True))
        assert pairs, "an estimator without a candidate"
        assert len(self.vectors) == len(pairs), (len(self.vectors), len(pairs))
        assert len(set(pairs)) == len(pairs), "two candidates at one place"

    def __len__(self) -> int:
        return len(self.vectors)

    def at(self, evaluation: DirectionEvaluation) -> int:
        """Index of the candidate that an evaluation is about."""
        pairs = list(zip(self.layers, self.positions, strict=True))
        return pairs.index((evaluation.layer, evaluation.position))


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """A selector's result; every candidate is in either `evaluations` or `stopped`."""

    selected: Chosen
    """One of `evaluations` with bypass and induce known, marked if it passes not every filter."""
    evaluations: tuple[DirectionEvaluation, ...]
    """Candidates asked about on all prompts, each with the filters that discard it."""
    stopped: tuple[StoppedDirection, ...]
    """All others; none of them could have been chosen."""
    selection: DirectionSelection


@runtime_checkable
class Estimator(Protocol):
    """A way to make candidate directions."""

    def __call__(self, means: Means) -> CandidateDirections: ...


@runtime_checkable
class Choose(Protocol):
    """A way to choose one of the candidates."""

    def __call__(
        self,
        candidates: CandidateDirections,
        means: Means,
        effects: CandidateQuestions,
        settings: DirectionSettings,
        progress: Asked,
    ) -> Choice: ...


@dataclass(frozen=True, kw_only=True)
class Size:
    """The size of a choice, known before it is made."""

    n_layers: int
    n_positions: int
    n_validation: int
    """Prompts per label."""
    layer_cut: float


@dataclass(frozen=True, kw_only=True)
class Price:
    """Expected number of questions to the model, for `sae-audit plan`."""

    forward_passes: float
    """Passes of one prompt each, whole or in part."""
    layer_passes: float
    """Decoder layers run on one prompt."""
    edited_layer_passes: float
    """Those of them with a direction projected out."""
    heads: float
    """Distributions over the vocabulary computed."""
    most_forward_passes: float
    assumed: str
    """Assumption behind the numbers; empty if they are exact."""


@dataclass(frozen=True, kw_only=True)
class Selector:
    """A way to choose a direction, with its price."""

    choose: Choose
    price: Callable[[Size], Price]
