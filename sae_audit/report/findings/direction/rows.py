"""Which directions were tried, and which filter discarded each."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite

from sae_audit.config import DirectionSettings
from sae_audit.direction.selection import first_cut_layer
from sae_audit.findings import (
    Controlled,
    Direction,
    DirectionCheck,
    DirectionEvaluation,
    DirectionOut,
    Estimate,
    NoDirection,
    StoppedDirection,
    StopReason,
    SuccessiveDirections,
)
from sae_audit.pages.wording import interval, nats, percent, ranged
from sae_audit.record.run import Run


@dataclass(frozen=True, kw_only=True)
class JudgedDirection:
    """One candidate direction and the filters it fails (2406.11717, appendix C)."""

    evaluation: DirectionEvaluation
    failed: tuple[str, ...]

    @property
    def discarded(self) -> bool:
        return bool(self.failed)


def tried_directions(run: Run) -> Direction | NoDirection:
    """The directions that were tried, with the one chosen or without."""
    found = run.discarded_directions if run.stopped_early else run.direction
    assert found is not None, "no direction was tried"
    return found


def judged_directions(
    evaluations: Sequence[DirectionEvaluation], settings: DirectionSettings, n_layers: int
) -> list[JudgedDirection]:
    """Every evaluation with the names of the filters it fails, in the order of the record."""
    first_cut = first_cut_layer(n_layers, settings.layer_cut)
    judged: list[JudgedDirection] = []
    for found in evaluations:
        tests = {
            "not finite": not all(map(isfinite, (found.bypass, found.induce, found.kl))),
            "in the last layers": found.layer >= first_cut,
            "with too large a KL": found.kl > settings.kl_limit,
            "not inducing": found.induce < settings.induce_floor,
        }
        failed = tuple(name for name, fails in tests.items() if fails)
        judged.append(JudgedDirection(evaluation=found, failed=failed))
    return judged


STOPPED = {
    StopReason.LAYER: "in the last layers",
    StopReason.NOT_FINITE: "not finite",
    StopReason.KL: "with too large a KL",
    StopReason.INDUCE: "not inducing",
    StopReason.BYPASS: "with a bypass above that of the chosen one",
}
"""What is certain of a candidate that was asked about no further, whatever the other prompts say."""


@dataclass(frozen=True, kw_only=True)
class StoppedRow:
    """A candidate that was not asked about on all prompts, as a reader sees it."""

    layer: int
    position: int
    bypass: str
    """Mean so far, and of how many prompts."""
    induce: str
    kl: str
    reason: str

    @property
    def so_far(self) -> dict[str, str]:
        return {"bypass": self.bypass, "induce": self.induce, "kl": self.kl}


def stopped_rows(found: Direction | NoDirection) -> list[StoppedRow]:
    n_harmful, n_harmless = found.n_validation

    def row(one: StoppedDirection) -> StoppedRow:
        return StoppedRow(
            layer=one.layer,
            position=one.position,
            bypass=_so_far(one.bypass, one.n_bypass, n_harmful, nats),
            induce=_so_far(one.induce, one.n_induce, n_harmless, nats),
            kl=_so_far(one.kl, one.n_kl, n_harmless, _plain),
            reason=STOPPED[one.reason],
        )

    return [row(one) for one in found.stopped]


def _so_far(value: float | None, n: int, of: int, number: Callable[[float], str]) -> str:
    return "not asked" if value is None else f"{number(value)} ({n} of {of})"


def tried_sentence(judged: Sequence[JudgedDirection], stopped: Sequence[StoppedRow]) -> str:
    """How many pass, and how many fail each filter, the most frequent first."""
    n_passing = sum(not one.discarded for one in judged)
    failed = Counter(name for one in judged for name in one.failed)
    said = (
        f"Of {len(judged)} asked to the end {n_passing} pass{'es' if n_passing == 1 else ''} all "
        f"filters; {_counted(failed) or 'none fails one'} (one may fail several)."
    )
    if not stopped:
        return said
    reasons = _counted(Counter(row.reason for row in stopped))
    return f"{said} Of {len(stopped)} others: {reasons}, each counted once."


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.most_common())


@dataclass(frozen=True, kw_only=True)
class CheckedRow:
    """One number of the chosen direction on audit prompts, as a reader sees it."""

    label: str
    clean: str
    own: str
    random: str
    """Mean and range over random directions."""
    n: int


def checked_rows(check: DirectionCheck) -> list[CheckedRow]:
    """Every number of the check with its interval, beside random directions."""
    harmful, harmless = check.clean_harmful, check.clean_harmless
    return [
        _checked("bypass: score of harmful prompts, projected out", harmful, check.bypass, nats),
        _checked("share of harmful prompts flipped by that", "0%", check.flipped, percent),
        _checked("induce: score of harmless prompts, added", harmless, check.induce, nats),
        _checked("share of harmless prompts refused after that", "0%", check.induced, percent),
        _checked(
            "share of harmless prompts answered, projected out", "100%", check.answered, percent
        ),
        _checked("KL on harmless prompts, projected out", "0", check.kl, _plain),
    ]


def _checked(
    label: str, clean: Estimate | str, found: Controlled, number: Callable[[float], str]
) -> CheckedRow:
    random = found.random
    return CheckedRow(
        label=label,
        clean=clean if isinstance(clean, str) else interval(clean, number),
        own=interval(found.own, number),
        random=ranged(random, number),
        n=found.own.n,
    )


def _plain(value: float) -> str:
    return f"{value:.4f}"


@dataclass(frozen=True, kw_only=True)
class OutRow:
    """One number of a step of the directions behind one another, as a reader sees it."""

    step: str
    """How many directions are out; empty, as `place`, but in the step's first row."""
    place: str
    label: str
    own: str
    random: str
    """Mean and range with as many random directions out."""
    n: int


def out_rows(found: SuccessiveDirections) -> list[OutRow]:
    """What is left with one direction out, with two, and so on."""
    return [
        OutRow(
            step=str(n_out) if measured is one.refused else "",
            place=_place(one) if measured is one.refused else "",
            label=label,
            own=interval(measured.own, number),
            random=ranged(measured.random, number),
            n=measured.own.n,
        )
        for n_out, one in enumerate(found.directions, start=1)
        for label, measured, number in (
            ("harmful prompts still refused", one.refused, percent),
            ("their mean score", one.score, nats),
            ("harmless prompts still answered", one.answered, percent),
            ("KL on these", one.kl, _plain),
        )
    ]


def _place(one: DirectionOut) -> str:
    return f"layer {one.layer}, position {one.position} ({one.n_train[0]} + {one.n_train[1]})"


def needed_sentence(found: SuccessiveDirections) -> str:
    """How many prompts need how many directions out."""
    n = len(found.directions)
    needed = ", ".join(
        f"{count} need {depth}{'' if depth <= n else ' or more'}"
        for depth, count in found.depths.items()
    )
    return f"{needed}. Why no more: {found.stop}."
