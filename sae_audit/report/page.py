"""Record in, page out: one self-contained `index.html`, and no finding computed anew.

What the page adds to the record are counts with Wilson intervals, and medians over prompts with
bootstrap intervals.
"""

from importlib.resources import files
from pathlib import Path

from sae_audit.pages.document import document
from sae_audit.record.layout import PAGE, write_file
from sae_audit.record.run import Run
from sae_audit.report.contents import contents
from sae_audit.report.figures import figures
from sae_audit.report.limits import limits
from sae_audit.report.summary import summary

_SECTIONS = (
    ("summary", "Summary"),
    ("limits", "Not shown"),
    ("card", "Audit card"),
    ("behaviour", "Behaviour"),
    ("direction", "Direction"),
    ("candidates", "Candidates"),
    ("coverage", "Not in the SAEs"),
    ("minimal", "Minimal sets"),
    ("interactions", "Interactions"),
    ("cascades", "Cascades"),
    ("controls", "Controls"),
    ("repeat", "Repeat it"),
    ("methods", "Terms, methods"),
)
"""Each is `sections/<id>.html.j2`."""


def write_page(run: Run) -> Path:
    """Write the report of a finished run into its folder and return its path."""
    page = run.folder / PAGE
    write_file(page, render(run).encode())
    return page


def render(run: Run) -> str:
    here = files("sae_audit.report")
    left_out = _left_out(run)
    return document(
        "sae_audit.report",
        "page.html.j2",
        figures(run),
        run=run,
        sections=[one for one in _SECTIONS if one[0] not in left_out],
        rows=summary(run),
        limits=limits(run),
        report_style=(here / "page.css").read_text(encoding="utf-8"),
        script=(here / "page.js").read_text(encoding="utf-8"),
        **contents(run),
    )


def _left_out(run: Run) -> set[str]:
    """Sections of what an audit that stopped early did not look for."""
    if not run.stopped_early:
        return set()
    later = {"candidates", "minimal", "interactions", "cascades", "controls"}
    return later if run.discarded_directions else {"direction", *later}
