"""One self-contained `index.html` from a record; no finding is computed anew.

The page adds counts with Wilson intervals, and medians over prompts with their own.
"""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from sae_audit.pages.document import document
from sae_audit.record.layout import PAGE, write_file
from sae_audit.record.run import Run
from sae_audit.report import chapters
from sae_audit.report.feature_links import linked
from sae_audit.report.findings.all_findings import section as all_findings
from sae_audit.report.findings.behaviour import section as behaviour
from sae_audit.report.findings.candidates import section as candidates
from sae_audit.report.findings.card import section as card
from sae_audit.report.findings.cascades import section as cascades
from sae_audit.report.findings.categories import section as categories
from sae_audit.report.findings.claims import section as claims
from sae_audit.report.findings.controls import section as controls
from sae_audit.report.findings.coverage import section as coverage
from sae_audit.report.findings.direction import section as direction
from sae_audit.report.findings.features import section as features
from sae_audit.report.findings.filtering import section as filtering
from sae_audit.report.findings.interactions import section as interactions
from sae_audit.report.findings.layers import section as layers
from sae_audit.report.findings.limits import section as not_shown
from sae_audit.report.findings.methods import section as methods
from sae_audit.report.findings.minimal import section as minimal
from sae_audit.report.findings.nulls import section as nulls
from sae_audit.report.findings.repeat import section as repeat
from sae_audit.report.findings.side_effects import section as side_effects
from sae_audit.report.findings.summary import section as head
from sae_audit.report.section import Figures, Section, SummaryRow

SECTIONS = (
    head.SECTION,
    claims.SECTION,
    not_shown.SECTION,
    card.SECTION,
    behaviour.SECTION,
    direction.SECTION,
    layers.SECTION,
    categories.SECTION,
    candidates.SECTION,
    coverage.SECTION,
    minimal.SECTION,
    nulls.SECTION,
    side_effects.SECTION,
    filtering.SECTION,
    interactions.SECTION,
    cascades.SECTION,
    controls.SECTION,
    features.SECTION,
    repeat.SECTION,
    methods.SECTION,
    all_findings.SECTION,
)
"""Sections in the order of findings and limits; `chapters` says where on the page each one is."""


def write_page(run: Run) -> Path:
    """Path of the report of a finished run, written into its folder."""
    page = run.folder / PAGE
    write_file(page, render(run).encode())
    return page


def write_page_with_texts(run: Run, texts: Mapping[str, str]) -> Path:
    """Path of a report that shows the words of the audit prompts, given by id; written beside the run's
    folder, which can still be handed on."""
    folder = run.folder.resolve()
    page = folder.with_name(f"{folder.name}-with-texts.html")
    write_file(page, render(run, texts).encode())
    return page


def render(run: Run, texts: Mapping[str, str] | None = None) -> str:
    """The report; with `texts`, by prompt id, also the words of the audit prompts."""
    shown = _shown(run)
    parts = chapters.shown(run, shown)
    drawn = figures(run)
    leading = {one.chapter.lead.name for one in parts if one.chapter.lead is not None}
    page = document(
        "sae_audit.report",
        "page.html.j2",
        drawn,
        menu={
            head.SECTION.id: head.SECTION.title,
            **{one.chapter.id: one.chapter.menu for one in parts},
            all_findings.SECTION.id: all_findings.SECTION.title,
            **({"texts": "Prompts' words"} if texts else {}),
        },
        first_style=(files("sae_audit.report") / "first.css").read_text(encoding="utf-8"),
        run=run,
        chapters=parts,
        topics=chapters.topics(run),
        folded={name: chart for name, chart in drawn.items() if name not in leading},
        summary_rows=summary(run),
        not_shown=limits(run),
        audited=[one for one in run.scores if one.split == "audit"],
        texts=texts or {},
        **{section.id: section.values(run) for section in shown},
    )
    return linked(page, run)


def summary(run: Run) -> list[SummaryRow]:
    """Findings in plain words, one row per question with its control: the page's summary and the
    command's last table. Questions after an early stop have no row."""
    rows = [row for section in _shown(run) for row in section.rows(run)]
    return sorted(rows, key=lambda row: row.part)


def limits(run: Run) -> list[str]:
    """Limits of the report, from the record."""
    return [limit for section in _shown(run) for limit in section.limits(run)]


def figures(run: Run) -> Figures:
    """Every figure of the page by name; those without data in the record are left out."""
    drawn: Figures = {}
    for section in _shown(run):
        own = section.figures(run)
        assert not drawn.keys() & own.keys(), f"figures of {section.id} have another's name"
        drawn |= own
    return drawn


def _shown(run: Run) -> list[Section]:
    """The sections shown; those of stages after an early stop are left out."""
    return [section for section in SECTIONS if section.shown(run)]
