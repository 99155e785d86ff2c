"""Several variants of one parent: a table with a row for each, and a page for each."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from sae_audit.comparison.decided import Measure
from sae_audit.comparison.first_screen.reasons import named_topics, names_of, verdict
from sae_audit.comparison.first_screen.rows import rows, without_evidence
from sae_audit.comparison.first_screen.screen import feature_changes
from sae_audit.comparison.first_screen.terminal import values_of
from sae_audit.comparison.first_screen.types import CheckRow, Mark, mark_of
from sae_audit.comparison.page import DATA, check_folder, write_comparison
from sae_audit.comparison.types import Comparison
from sae_audit.pages.document import document
from sae_audit.record.layout import PAGE, make_folder, write_file

_COLUMNS = (
    Measure.REFUSAL_RATE,
    Measure.OVER_REFUSAL,
    Measure.MINIMAL_SET_SIZE,
    Measure.DIRECTION_COSINE,
)


@dataclass(frozen=True, kw_only=True)
class VariantRow:
    """What is said of one variant."""

    name: str
    link: str
    mark: Mark
    verdict: str
    cells: tuple[CheckRow, ...]
    """Refusals, over-refusals, features, direction."""
    lost: str
    """Topics lost whole."""
    features: str


def variant_row(comparison: Comparison, folder: str) -> VariantRow:
    shown = {row.measure: row for row in rows(comparison) if row.measure is not None}
    lost = [topic for topic in comparison.decision.topics if topic.is_lost]
    return VariantRow(
        name=names_of(comparison)[1],
        link=f"{folder}/{PAGE}",
        mark=mark_of(comparison.decision.outcome),
        verdict=verdict(comparison.decision),
        cells=tuple(shown[measure] for measure in _COLUMNS),
        lost=named_topics(lost) or "none",
        features=" ".join(feature_changes(comparison.decision.roles, without_evidence(comparison))),
    )


def write_comparisons(
    found: Sequence[Comparison], runs: Sequence[Path], folder: str | Path
) -> Path:
    """Path of the page with all variants, written to the folder with `comparison.json` and a folder for
    each variant, named for its run (and numbered where two runs have one name); `runs` are the folders
    of the parent and then of the variants.

    Raises:
        AuditError: the folder holds something other than a comparison, or cannot be made.
    """
    target = Path(folder)
    names = _apart([run.resolve().name for run in runs[1:]])
    check_folder(target)
    make_folder(target)
    text = json.dumps(
        {
            "variants": [
                {"folder": name, **one.as_dict()} for name, one in zip(names, found, strict=True)
            ]
        },
        indent=1,
    )
    write_file(target / DATA, f"{text}\n".encode())
    for name, one, variant in zip(names, found, runs[1:], strict=True):
        write_comparison(one, target / name, (runs[0], variant))
    write_file(target / PAGE, render_several(found, names).encode())
    return target / PAGE


def _apart(runs: Sequence[str]) -> list[str]:
    return [
        name if list(runs).count(name) == 1 else f"{number}-{name}"
        for number, name in enumerate(runs, start=1)
    ]


def render_several(found: Sequence[Comparison], folders: Sequence[str]) -> str:
    """The page with a row for each variant, worst first."""
    order = sorted(
        zip(found, folders, strict=True),
        key=lambda pair: ("fails", "cannot tell", "within").index(pair[0].decision.outcome.value),
    )
    return document(
        "sae_audit.comparison",
        "several.html.j2",
        {},
        menu={"variants": "Variants", "limits": "Limits"},
        parent=names_of(found[0])[0],
        first_style=(files("sae_audit.comparison") / "first.css").read_text(),
        rows=[variant_row(one, folder) for one, folder in order],
        values_of=values_of,
        limits=[str(one.limit) for one in found[0].decision.limits],
        level=found[0].decision.level,
    )
