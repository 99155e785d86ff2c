"""A comparison as a self-contained page."""

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import plotly.graph_objects as go

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
from sae_audit.findings import Estimate
from sae_audit.pages.charts import HARMFUL, HARMLESS, MUTED, OWN, styled
from sae_audit.pages.document import document
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


def write_comparison(comparison: Comparison, folder: str | Path) -> Path:
    """Path of the page, written to the folder with `comparison.json`.

    Raises:
        AuditError: the folder holds something other than a comparison, or cannot be made.
    """
    target = Path(folder)
    check_folder(target)
    written = {
        DATA: json.dumps(comparison.as_dict(), indent=1) + "\n",
        PAGE: render(comparison),
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


def render(comparison: Comparison) -> str:
    figures = {
        "scores": _scores(comparison),
        "categories": _categories(comparison),
        "quality": _quality(comparison),
    }
    if comparison.direction is not None:
        figures["cosines"] = _cosines(comparison.direction)
    if comparison.features is not None:
        figures["shifts"] = _shifts(comparison)
    return document(
        "sae_audit.comparison",
        "page.html.j2",
        figures,
        c=comparison,
        first=first_screen(comparison),
        first_style=(files("sae_audit.comparison") / "first.css").read_text(),
        names=names_of(comparison),
        n_harmful=sum(row[1] == "harmful" for row in comparison.scores),
        n_harmless=sum(row[1] == "harmless" for row in comparison.scores),
        sections=_SECTIONS,
        rows=list(checkpoint_rows(comparison)),
        stabilities=stabilities(comparison.direction),
        behaviour=behaviour_rows(comparison),
        tests=list(test_rows(comparison)),
        too_few=[test for test in comparison.tests if test.corrected_p is None],
        fewest=fewest_pairs(comparison.n_tests) if of_categories(comparison) else None,
        number=number,
    )


def _scores(comparison: Comparison) -> go.Figure:
    """Each prompt's score in both checkpoints; equal scores lie on the diagonal."""
    figure = go.Figure()
    for label, colour in (("harmful", HARMFUL), ("harmless", HARMLESS)):
        rows = [row for row in comparison.scores if row[1] == label]
        figure.add_trace(
            go.Scatter(
                x=[row[2] for row in rows],
                y=[row[3] for row in rows],
                text=[row[0] for row in rows],
                name=label,
                mode="markers",
                marker={"color": colour, "size": 7, "opacity": 0.7},
                hovertemplate="%{text}: %{x:.2f} → %{y:.2f}<extra></extra>",
            )
        )
    values = [value for row in comparison.scores for value in row[2:]]
    ends = [min(values), max(values)]
    figure.add_trace(
        go.Scatter(
            x=ends,
            y=ends,
            mode="lines",
            line={"color": MUTED, "dash": "dot"},
            showlegend=False,
            hoverinfo="skip",
        )
    )
    return styled(figure, height=460, x="parent: refusal score (nats)", y="variant (nats)")


def _categories(comparison: Comparison) -> go.Figure:
    """Change of the refusal score by category, with intervals."""
    rows = of_categories(comparison) or list(comparison.behaviour)
    rows.sort(key=lambda change: (change.label, -change.score.difference.value))
    estimates = [change.score.difference for change in rows]
    figure = go.Figure(
        go.Scatter(
            x=[e.value for e in estimates],
            y=[
                f"{change.category or 'all'} ({change.label}, n={e.n})"
                for change, e in zip(rows, estimates, strict=True)
            ],
            mode="markers",
            marker={
                "color": [HARMFUL if c.label == "harmful" else HARMLESS for c in rows],
                "size": 9,
            },
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [e.high - e.value for e in estimates],
                "arrayminus": [e.value - e.low for e in estimates],
                "color": MUTED,
            },
            hovertemplate="%{y}: %{x:+.2f} nats<extra></extra>",
        )
    )
    figure.add_vline(x=0.0, line={"color": MUTED, "dash": "dot", "width": 1})
    return styled(figure, height=120 + 24 * len(rows), x="change of the refusal score (nats)")


def _cosines(change: DirectionChange) -> go.Figure:
    cosines = change.cosines
    figure = go.Figure(
        go.Scatter(
            x=list(range(len(cosines))),
            y=[one.value for one in cosines],
            error_y=_errors(cosines),
            mode="lines+markers",
            line={"color": OWN},
            hovertemplate="layer %{x}: %{y:.3f}<extra></extra>",
        )
    )
    figure.update_yaxes(range=[min(0.0, *(one.value for one in cosines)) - 0.02, 1.02])
    return styled(figure, height=280, x="layer", y="cosine")


def _errors(found: Sequence[Estimate]) -> dict[str, list[float]]:
    return {
        "array": [one.high - one.value for one in found],
        "arrayminus": [one.value - one.low for one in found],
    }


def _quality(comparison: Comparison) -> go.Figure:
    figure = go.Figure()
    layers = [one.layer for one in comparison.quality]
    for name, found, colour in (
        ("parent", [one.explained_variance_a for one in comparison.quality], MUTED),
        ("variant", [one.explained_variance_b for one in comparison.quality], OWN),
    ):
        figure.add_trace(
            go.Scatter(
                x=layers,
                y=[one.value for one in found],
                error_y=_errors(found),
                name=name,
                mode="lines+markers",
                line={"color": colour},
            )
        )
    return styled(figure, height=280, x="layer", y="explained variance")


def _shifts(comparison: Comparison) -> go.Figure:
    assert comparison.features is not None, "no prompt was flipped in both"
    rows = comparison.features.shifts[::-1]
    names = [str(shift.feature) for shift in rows]
    figure = go.Figure()
    for name, values, colour in (
        ("parent", [shift.share_a for shift in rows], MUTED),
        ("variant", [shift.share_b for shift in rows], OWN),
    ):
        figure.add_trace(go.Bar(x=values, y=names, name=name, orientation="h", marker_color=colour))
    return styled(figure, height=140 + 24 * len(rows), x="share of minimal sets that hold it")
