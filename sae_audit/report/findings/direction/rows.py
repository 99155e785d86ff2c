"""Directions tried, the limits that each breaks, and the effects of the chosen one."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sae_audit.findings import (
    Controlled,
    Direction,
    DirectionCheck,
    DirectionEvaluation,
    DirectionMeasure,
    DirectionOut,
    Estimate,
    NoDirection,
    StoppedDirection,
    StopReason,
    SuccessiveDirections,
)
from sae_audit.pages.wording import NO_VALUE, interval, nats, percent, ranged
from sae_audit.record.run import Run


def tried_directions(run: Run) -> Direction | NoDirection:
    """The directions that were tried, chosen or not."""
    found = run.discarded_directions if run.stopped_early else run.direction
    assert found is not None, "no direction was tried"
    return found


@dataclass(frozen=True, kw_only=True)
class TriedRow:
    """A candidate asked about on all prompts, in words."""

    layer: int
    position: int
    numbers: tuple[str, ...]
    """One for each measure of the selection."""
    is_chosen: bool
    verdict: str
    """The limits that it breaks."""


def tried_rows(found: Direction | NoDirection) -> list[TriedRow]:
    chosen = found.selected if isinstance(found, Direction) else None
    return [
        TriedRow(
            layer=one.layer,
            position=one.position,
            numbers=tuple(_formatted(measure, one) for measure in found.selection.measures),
            is_chosen=one == chosen,
            verdict=", ".join((["chosen"] if one == chosen else []) + list(one.failed)),
        )
        for one in found.evaluations
    ]


def _formatted(measure: DirectionMeasure, of: DirectionEvaluation) -> str:
    value = of.measure(measure.name)
    if value is None:
        return NO_VALUE
    return _plain(value) if measure.logarithmic or not measure.unit else nats(value)


STOPPED = {
    StopReason.LAYER: "in the last layers",
    StopReason.NOT_FINITE: "not finite",
    StopReason.KL: "with too large a KL",
    StopReason.INDUCE: "not inducing",
    StopReason.BYPASS: "with a bypass above that of the chosen one",
}
"""Wording of each stop reason, certain whatever the other prompts' values are."""


NOT_ASKED = "not asked"


@dataclass(frozen=True, kw_only=True)
class StoppedRow:
    """A candidate not asked about on all prompts, in words."""

    layer: int
    position: int
    bypass: str
    """Mean so far, and its number of prompts."""
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
    return NOT_ASKED if value is None else f"{number(value)} ({n} of {of})"


def tried_sentence(tried: Sequence[DirectionEvaluation], stopped: Sequence[StoppedRow]) -> str:
    """Number of candidates that pass, and that fail each filter, the most frequent first."""
    n_passing = sum(not one.failed for one in tried)
    failed = Counter(name for one in tried for name in one.failed)
    said = (
        f"Of {len(tried)} asked to the end {n_passing} pass{'es' if n_passing == 1 else ''} all "
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
    """One number of the chosen direction on audit prompts, in words."""

    label: str
    clean: str
    own: str
    random: str
    """Mean and range over random directions."""
    n: int


def checked_rows(check: DirectionCheck) -> list[CheckedRow]:
    """Every number of the check with its interval and random directions."""
    harmful, harmless = check.clean_harmful, check.clean_harmless
    return [
        _checked(
            "Direction taken out: refusal score of harmful prompts", harmful, check.bypass, nats
        ),
        *(
            [_checked("share of that score removed", "0%", check.removed, percent)]
            if check.removed is not None
            else []
        ),
        _checked("share of harmful prompts whose refusal that ends", "0%", check.flipped, percent),
        _checked(
            "Direction added: refusal score of harmless prompts", harmless, check.induce, nats
        ),
        _checked("share of harmless prompts refused after that", "0%", check.induced, percent),
        _checked(
            "share of harmless prompts answered, direction taken out",
            "100%",
            check.answered,
            percent,
        ),
        _checked("KL on harmless prompts, direction taken out", "0", check.kl, _plain),
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
    return f"{value:z.4f}"


@dataclass(frozen=True, kw_only=True)
class OutRow:
    """One number of a step of successive directions, in words."""

    step: str
    """Number of directions projected out; empty, like `place`, except in a step's first row."""
    place: str
    label: str
    own: str
    random: str
    """Mean and range with as many random directions projected out."""
    n: int


def out_rows(found: SuccessiveDirections) -> list[OutRow]:
    """Numbers left with one direction projected out, with two, and so on."""
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
    """Number of prompts by the number of directions needed, in words."""
    n = len(found.directions)
    needed = ", ".join(
        f"{count} need {depth}{'' if depth <= n else ' or more'}"
        for depth, count in found.depths.items()
    )
    return f"{needed}. Why no more: {found.stop}."
