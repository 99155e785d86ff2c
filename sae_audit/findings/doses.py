"""How much of an ablation it takes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import computed_field

from sae_audit.findings.example import Finding
from sae_audit.margins import answers


@dataclass(frozen=True, kw_only=True)
class DosePoint(Finding):
    """One prompt's refusal score with a set ablated by one dose."""

    dose: float
    """Share of the way from each feature's activation to its clamp; 1 is the ablation."""
    score: float
    """Nats; < 0 complies."""


@dataclass(frozen=True, kw_only=True)
class FlipDose(Finding):
    """How much of a set's ablation flips one prompt."""

    prompt_id: str
    ablated: str
    """`minimal_set`, the prompt's own; or `candidates`, all of them, where the whole ablation of
    all does not flip the prompt and doses above 1 were tried."""
    n_features: int
    dose: float | None
    """The smallest dose that flips, among those scored; None where none does. 0 only where the SAE's
    error term is dropped, and its reconstruction alone flips."""
    points: tuple[DosePoint, ...]
    """Every dose scored, rising: the grid, and the halvings of the step in which the prompt flips.
    Every point below `dose` refuses; where none flips, all do."""
    tolerance: float
    """Widest distance between `dose` and the point below it."""
    n_sets_scored: int

    @classmethod
    def example(cls, numbers: Iterator[int] | None = None, **given: Any) -> "FlipDose":
        found = super().example(numbers, **given)
        return found if "dose" in given else replace(found, dose=found.points[-1].dose)

    @computed_field
    @property
    def score(self) -> float:
        """At `dose`; where none flips, at the largest one tried."""
        return self._at_and_below[0].score

    @computed_field
    @property
    def dose_below(self) -> float:
        """The largest scored dose below `dose`; where none flips, the largest of all; 0 below 0."""
        return self._at_and_below[1].dose

    @computed_field
    @property
    def score_below(self) -> float:
        """At `dose_below`; >= 0, unless `dose` is 0."""
        return self._at_and_below[1].score

    @computed_field
    @property
    def certified(self) -> bool:
        """Whether scores prove it: `dose` flips, no scored one below does, the next is near."""
        return (
            self.dose is not None
            and answers(self.score)
            and not any(answers(point.score) for point in self.points if point.dose < self.dose)
            and self.dose - self.dose_below <= self.tolerance
        )

    @property
    def _at_and_below(self) -> tuple[DosePoint, DosePoint]:
        if self.dose is None:
            return self.points[-1], self.points[-1]
        (place,) = (i for i, point in enumerate(self.points) if point.dose == self.dose)
        return self.points[place], self.points[max(place - 1, 0)]
