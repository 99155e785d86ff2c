"""Rows of a comparison's page that need more than printing a number."""

from collections.abc import Iterator
from dataclasses import dataclass

from sae_audit.comparison.claims import score_name
from sae_audit.comparison.types import (
    BehaviourChange,
    Checkpoint,
    Comparison,
    DirectionChange,
    Tested,
)
from sae_audit.comparison.wording import amount
from sae_audit.findings import Controlled, Estimate
from sae_audit.pages.wording import ABSENCES, NO_VALUE, interval, ranged

_MEASURES = {
    "bypass": "bypass: score of harmful audit prompts, projected out (nats)",
    "induce": "induce: score of harmless audit prompts, added (nats)",
    "kl": "KL on harmless audit prompts, projected out (nats)",
}
"""Measures of a direction, by their name in `DirectionCheck`."""
_NONE = "none"


@dataclass(frozen=True, kw_only=True)
class CheckpointRow:
    """One fact of both checkpoints."""

    name: str
    parent: str
    variant: str


def checkpoint_rows(comparison: Comparison) -> Iterator[CheckpointRow]:
    """Facts of each audit, side by side."""
    a, b = comparison.a, comparison.b
    yield CheckpointRow(
        name="refused harmful prompts",
        parent=str(a.n_refused_harmful),
        variant=str(b.n_refused_harmful),
    )
    yield CheckpointRow(
        name="of those, flipped by a minimal set",
        parent=str(a.n_flipped),
        variant=str(b.n_flipped),
    )
    if a.absence or b.absence:
        yield CheckpointRow(name="absent", parent=_absent(a), variant=_absent(b))
    yield CheckpointRow(
        name="direction: layer, position", parent=_direction(a), variant=_direction(b)
    )
    for measure, name in _MEASURES.items():
        own, other = _checked(a, measure), _checked(b, measure)
        yield CheckpointRow(
            name=name,
            parent=_NONE if own is None else interval(own.own),
            variant=_NONE if other is None else interval(other.own),
        )
        yield CheckpointRow(
            name="the same of random directions: mean, range",
            parent=_NONE if own is None else ranged(own.random),
            variant=_NONE if other is None else ranged(other.random),
        )


def _absent(checkpoint: Checkpoint) -> str:
    return "nothing" if checkpoint.absence is None else ABSENCES[checkpoint.absence.kind]


def _direction(checkpoint: Checkpoint) -> str:
    if checkpoint.layer is None:
        return _NONE
    return f"{checkpoint.layer}, {checkpoint.position}"


def _checked(checkpoint: Checkpoint, measure: str) -> Controlled | None:
    return None if checkpoint.check is None else getattr(checkpoint.check, measure)


def stabilities(direction: DirectionChange | None) -> list[tuple[str, Estimate]]:
    """Owner and cosine of each direction made again from resampled prompts."""
    if direction is None:
        return []
    both = {"parent": direction.stability_a, "variant": direction.stability_b}
    return [(name, one) for name, one in both.items() if one is not None]


@dataclass(frozen=True, kw_only=True)
class TestRow:
    """One test of a comparison."""

    __test__ = False

    name: str
    n: int
    smallest_p: str
    p_value: str
    corrected: str
    could_show: str
    method: str


def test_rows(comparison: Comparison) -> Iterator[TestRow]:
    for test in comparison.tests:
        enters, found = test.corrected_p is not None, test.could_show
        yield TestRow(
            name=test.name,
            n=test.n,
            smallest_p=number(test.smallest_p),
            p_value=number(test.p_value) if enters else NO_VALUE,
            corrected=_corrected(test),
            could_show=NO_VALUE if found is None else amount(found),
            method="" if found is None else found.method,
        )


def behaviour_rows(comparison: Comparison) -> list[tuple[BehaviourChange, str]]:
    """Each change of behaviour with the corrected p-value of its score."""
    tests = {test.name: test for test in comparison.tests}
    return [
        (change, _corrected(tests[score_name(change.label, change.category)]))
        for change in comparison.behaviour
    ]


def of_categories(comparison: Comparison) -> list[BehaviourChange]:
    return [change for change in comparison.behaviour if change.category]


def _corrected(test: Tested) -> str:
    return "too few" if test.corrected_p is None else number(test.corrected_p)


def number(value: float) -> str:
    return f"{value:.2g}"
