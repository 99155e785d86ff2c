"""The smallest ablation scale that flips a prompt."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import computed_field

from sae_audit.findings.example import Finding
from sae_audit.margins import answers


@dataclass(frozen=True, kw_only=True)
class ScalePoint(Finding):
    """Refusal score of one prompt with a set ablated at one scale."""

    scale: float
    """Share of the way from each feature's activation to its clamp; 1 is the full ablation."""
    score: float
    """Refusal score, nats; < 0 complies."""


@dataclass(frozen=True, kw_only=True)
class FlipScale(Finding):
    """The smallest ablation scale of a set that flips one prompt."""

    prompt_id: str
    ablated: str
    """`minimal_set`, the prompt's own; or `candidates`, all of them, if ablating them fully does not
    flip the prompt and scales above 1 were tried."""
    n_features: int
    """Number of features ablated."""
    scale: float | None
    """Smallest scored scale that flips; None if none does. 0 only if the SAE's error term is dropped
    and its reconstruction alone flips."""
    points: tuple[ScalePoint, ...]
    """Every scored scale, ascending: the grid, and halvings of the step in which the prompt flips.
    Every point below `scale` refuses; if no scale flips, all do."""
    tolerance: float
    """Largest distance between `scale` and the point below it."""
    n_sets_scored: int
    """Number of ablated sets scored."""

    @classmethod
    def example(cls, numbers: Iterator[int] | None = None, **given: Any) -> "FlipScale":
        found = super().example(numbers, **given)
        return found if "scale" in given else replace(found, scale=found.points[-1].scale)

    @computed_field
    @property
    def score(self) -> float:
        """Refusal score (nats) at `scale`; if no scale flips, at the largest one tried."""
        return self._at_and_below[0].score

    @computed_field
    @property
    def scale_below(self) -> float:
        """Largest scored scale below `scale`, 0 if that is 0; if no scale flips, the largest of all."""
        return self._at_and_below[1].scale

    @computed_field
    @property
    def score_below(self) -> float:
        """Refusal score (nats) at `scale_below`; >= 0, unless `scale` is 0."""
        return self._at_and_below[1].score

    @computed_field
    @property
    def certified(self) -> bool:
        """Whether the scores prove it: `scale` flips, no scored one below does, the next is near."""
        return (
            self.scale is not None
            and answers(self.score)
            and not any(answers(point.score) for point in self.points if point.scale < self.scale)
            and self.scale - self.scale_below <= self.tolerance
        )

    @property
    def _at_and_below(self) -> tuple[ScalePoint, ScalePoint]:
        if self.scale is None:
            return self.points[-1], self.points[-1]
        (place,) = (i for i, point in enumerate(self.points) if point.scale == self.scale)
        return self.points[place], self.points[max(place - 1, 0)]
