"""A comparison as a self-contained page."""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from sae_audit.comparison.feature_pages import addresses
from sae_audit.comparison.first_screen.reasons import names_of
from sae_audit.comparison.first_screen.screen import first_screen
from sae_audit.comparison.rows import (
    behaviour_rows,
    checkpoint_rows,
    number,
    of_categories,
    stabilities,
    test_rows,
)
from sae_audit.comparison.testing import fewest_pairs
from sae_audit.comparison.types import Comparison, DirectionChange
from sae_audit.errors import AuditError
from sae_audit.pages.charts import AMBER, HARMFUL, HARMLESS, MUTED, OWN, Axis, Chart, span
from sae_audit.pages.document import document
from sae_audit.pages.feature_links import linked
from sae_audit.record.layout import PAGE, disk_errors, make_folder, write_file, written_beside
from sae_audit.untrusted import shown

DATA = "comparison.json"
_SECTIONS = {
    "decision": "Ship or not",
    "verdicts": "Verdicts",
    "limits": "Not shown",
    "both": "Both checkpoints",
    "behaviour": "Behaviour",
    "direction": "Direction",
    "features": "Features",
    "cascades": "Cascades",
    "saes": "SAEs",
    "repeat": "Repeat it",
}
"""Names in the navigation by id on the page."""
_MARKS = (
    ("harmful", HARMFUL, "circle"),
    ("harmless", HARMLESS, "diamond"),
    ("safe_lookalike", AMBER, "square"),
)
"""Colour and symbol of each label's prompts."""


def write_comparison(
    comparison: Comparison, folder: str | Path, runs: Sequence[str | Path] = ()
) -> Path:
    """Path of the page, written to the folder with `comparison.json`; the features that it names are
    links to the pages of `runs`, the folders of parent and variant, where these have pages.

    Raises:
        AuditError: the folder holds something other than a comparison, or cannot be made.
    """
    target = Path(folder)
    check_folder(target)
    written = {
        DATA: json.dumps(comparison.as_dict(), indent=1) + "\n",
        PAGE: render(comparison, addresses([Path(run) for run in runs], target)),
    }
    make_folder(target)
    for name, text in written.items():
        write_file(target / name, text.encode())
    return target / PAGE


def check_folder(target: Path) -> None:
    """Check that a comparison may be written to the folder.

    Raises:
        AuditError: it holds something else.
    """
    with disk_errors(target):
        is_foreign = target.exists() and (not target.is_dir() or _is_foreign(target))
    if is_foreign:
        raise AuditError(f"{shown(target)} holds something else; name another folder with --out.")


def _is_foreign(folder: Path) -> bool:
    """Whether the folder holds files but no comparison; partial files of a stopped one do not count."""
    own = {written_beside(name) for name in (DATA, PAGE)}
    others = {entry.name for entry in folder.iterdir()} - own
    return bool(others) and not (folder / DATA).is_file()


def render(comparison: Comparison, features: Mapping[str, str] | None = None) -> str:
    """The page; mentions of `features` are links to their addresses."""
    figures = {
        "scores": _scores(comparison),
        "categories": _categories(comparison),
        "quality": _quality(comparison),
    }
    if comparison.direction is not None:
        figures["cosines"] = _cosines(comparison.direction)
    if comparison.features is not None:
        figures["shifts"] = _shifts(comparison)
    page = document(
        "sae_audit.comparison",
        "page.html.j2",
        figures,
        c=comparison,
        menu=_SECTIONS,
        first=first_screen(comparison),
        first_style=(files("sae_audit.comparison") / "first.css").read_text(),
        names=names_of(comparison),
        n_harmful=sum(row[1] == "harmful" for row in comparison.scores),
        n_harmless=sum(row[1] == "harmless" for row in comparison.scores),
        n_lookalikes=sum(row[1] == "safe_lookalike" for row in comparison.scores),
        rows=list(checkpoint_rows(comparison)),
        stabilities=stabilities(comparison.direction),
        behaviour=behaviour_rows(comparison),
        tests=list(test_rows(comparison)),
        too_few=[test for test in comparison.tests if test.corrected_p is None],
        fewest=fewest_pairs(comparison.n_tests) if of_categories(comparison) else None,
        number=number,
    )
    return linked(page, (features or {}).get)


def _scores(comparison: Comparison) -> Chart:
    """Each prompt's score in both checkpoints; equal scores lie on the diagonal."""
    chart = Chart(
        x=Axis("parent: refusal score (nats)"), y=Axis("variant: refusal score (nats)"), height=330
    )
    values = [value for row in comparison.scores for value in row[2:]]
    ends = [min(values), max(values)]
    chart.points(ends, ends, colour=MUTED, symbol="none", line=1)
    for label, colour, symbol in _MARKS:
        rows = [row for row in comparison.scores if row[1] == label]
        if not rows:
            continue
        chart.points(
            [row[2] for row in rows],
            [row[3] for row in rows],
            colour=colour,
            name=label,
            said=[f"{row[0]}: {row[2]:z.2f} → {row[3]:z.2f}" for row in rows],
            symbol=symbol,
            size=6,
            opacity=0.7,
        )
    # Who refused and does not any more lies right of the one and below the other.
    chart.rule(x=0.0)
    chart.rule(y=0.0)
    return chart


def _categories(comparison: Comparison) -> Chart:
    """Change of the refusal score by category, with intervals."""
    rows = of_categories(comparison) or list(comparison.behaviour)
    rows.sort(key=lambda change: (change.label, -change.score.difference.value))
    estimates = [change.score.difference for change in rows]
    names = [
        f"{change.category or 'all'} ({change.label}, n={e.n})"
        for change, e in zip(rows, estimates, strict=True)
    ]
    chart = Chart(x=Axis("change of the refusal score (nats)"), y=Axis(names=names), row=24)
    for label, colour, symbol in _MARKS:
        chosen = [i for i, change in enumerate(rows) if change.label == label]
        if not chosen:
            continue
        chart.points(
            [estimates[i].value for i in chosen],
            [names[i] for i in chosen],
            colour=colour,
            name=label,
            said=[f"{names[i]}: {estimates[i].value:+z.2f} nats" for i in chosen],
            symbol=symbol,
            size=8,
            across=[span(estimates[i]) for i in chosen],
        )
    chart.rule(x=0.0)
    return chart


def _cosines(change: DirectionChange) -> Chart:
    cosines = change.cosines
    lowest = min(0.0, *(one.value for one in cosines))
    chart = Chart(
        x=Axis("layer", whole=True),
        y=Axis("cosine", limits=(lowest - 0.02, 1.02)),
        height=200,
    )
    chart.points(
        list(range(len(cosines))),
        [one.value for one in cosines],
        colour=OWN,
        said=[f"layer {layer}: {one.value:z.3f}" for layer, one in enumerate(cosines)],
        upwards=[span(one) for one in cosines],
        line=1.5,
    )
    return chart


def _quality(comparison: Comparison) -> Chart:
    chart = Chart(x=Axis("layer", whole=True), y=Axis("explained variance"), height=200)
    layers = [one.layer for one in comparison.quality]
    for name, found, colour, symbol in (
        ("parent", [one.explained_variance_a for one in comparison.quality], MUTED, "square"),
        ("variant", [one.explained_variance_b for one in comparison.quality], OWN, "circle"),
    ):
        chart.points(
            layers,
            [one.value for one in found],
            colour=colour,
            name=name,
            said=[
                f"layer {layer}: {one.value:z.3f}, {name}"
                for layer, one in zip(layers, found, strict=True)
            ],
            symbol=symbol,
            upwards=[span(one) for one in found],
            line=1.5,
        )
    return chart


def _shifts(comparison: Comparison) -> Chart:
    assert comparison.features is not None, "no prompt was flipped in both"
    rows = comparison.features.shifts
    names = [str(shift.feature) for shift in rows]
    chart = Chart(
        x=Axis("share of minimal sets that hold it", shares=True), y=Axis(names=names), row=26
    )
    for name, values, colour, beside in (
        ("parent", [shift.share_a for shift in rows], MUTED, -0.2),
        ("variant", [shift.share_b for shift in rows], OWN, 0.2),
    ):
        chart.bars(
            names,
            values,
            colours=colour,
            name=name,
            said=[f"{one}: {value:.0%}, {name}" for one, value in zip(names, values, strict=True)],
            across=True,
            thickness=0.36,
            beside=beside,
        )
    return chart
