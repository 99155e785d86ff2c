"""What a method of finding the refusal direction is.

An ESTIMATOR turns means of the residual stream into candidate directions and asks the model nothing.
A SELECTOR chooses one of them by what it does to validation prompts, which are all it can ask about
(`vocabulary.CandidateQuestions`). Neither knows which of the other it works with.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from sae_audit.config import DirectionSettings
from sae_audit.findings import (
    DirectionEvaluation,
    DirectionSelection,
    NearestDirection,
    StoppedDirection,
)
from sae_audit.vocabulary import CandidateQuestions

Asked = Callable[[int, int], None]
"""Is told of how many candidates, of how many, it is settled whether they are chosen."""


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
    """Directions to choose among, at most one for each layer and template position."""

    vectors: Float[np.ndarray, "candidate d_model"]
    """Not normalised: added as they are."""
    layers: tuple[int, ...]
    """Layer whose `resid_post` each was read at, and is added to."""
    positions: tuple[int, ...]
    """Template position that each was read at; -1 is the prompt's last token."""

    def __post_init__(self) -> None:
        places = list(zip(self.layers, self.positions, strict=True))
        assert places, "an estimator without a candidate"
        assert len(self.vectors) == len(places), (len(self.vectors), len(places))
        assert len(set(places)) == len(places), "two candidates at one place"

    def __len__(self) -> int:
        return len(self.vectors)

    def at(self, place: DirectionEvaluation) -> int:
        """The number of the candidate that an evaluation is about."""
        places = list(zip(self.layers, self.positions, strict=True))
        return places.index((place.layer, place.position))


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """What a selector hands back: every candidate is in `evaluations` or in `stopped`."""

    selected: DirectionEvaluation | NearestDirection
    """One of `evaluations`, its bypass and induce known; or how near the nearest came."""
    evaluations: tuple[DirectionEvaluation, ...]
    """Candidates asked about on all prompts, each with the filters that discard it."""
    stopped: tuple[StoppedDirection, ...]
    """All others, none of which would have been chosen."""
    selection: DirectionSelection


@runtime_checkable
class Estimator(Protocol):
    """A way to make candidate directions."""

    def __call__(self, means: Means) -> CandidateDirections: ...


@runtime_checkable
class Choose(Protocol):
    """A way to choose one of them."""

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
    """How large a choice is, known before it is made."""

    n_layers: int
    n_positions: int
    n_validation: int
    """Prompts of each label."""
    layer_cut: float


@dataclass(frozen=True, kw_only=True)
class Price:
    """What a choice is expected to ask of the model, for `sae-audit plan`."""

    forward_passes: float
    """Of one prompt each, whole or in part."""
    layer_passes: float
    """Decoder layers run on one prompt."""
    edited_layer_passes: float
    """Of these, with a direction projected out."""
    heads: float
    """Distributions over the vocabulary."""
    most_forward_passes: float
    assumed: str
    """What the numbers rest on; empty if they are exact."""


@dataclass(frozen=True, kw_only=True)
class Selector:
    """A way to choose a direction, and what that costs."""

    choose: Choose
    price: Callable[[Size], Price]
