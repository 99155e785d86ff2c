"""Two runs in, one comparison out."""

import json
from dataclasses import dataclass
from html import escape
from pathlib import Path

import pandas as pd
from pydantic import TypeAdapter

from sae_audit.comparison import paired
from sae_audit.comparison.checks import caveats, check_comparable
from sae_audit.comparison.direction import direction_change
from sae_audit.comparison.types import (
    BehaviourChange,
    CascadeChange,
    Checkpoint,
    DirectionChange,
    DirectionsNeededChange,
    FeatureChange,
    QualityChange,
    Verdict,
)
from sae_audit.comparison.verdicts import verdicts
from sae_audit.errors import AuditError
from sae_audit.record.layout import PAGE, disk_errors, write_file
from sae_audit.record.run import Run, load_run
from sae_audit.record.whole import fitting_together
from sae_audit.untrusted import printable, shown


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What variant `b` lost or gained against parent `a`, on the same prompts and SAEs."""

    a: Checkpoint
    b: Checkpoint
    verdicts: tuple[Verdict, ...]
    behaviour: tuple[BehaviourChange, ...]
    lost_refusal: tuple[str, ...]
    """Ids of audit prompts that only the parent refuses."""
    gained_refusal: tuple[str, ...]
    scores: tuple[tuple[str, str, float, float], ...]
    """Prompt id, label, the parent's and the variant's refusal score, nats."""
    direction: DirectionChange | None
    """None where neither checkpoint has a direction."""
    directions_needed: DirectionsNeededChange | None
    """Difference in how many directions must be projected out until a prompt is not refused, over
    prompts refused by both; None where it was not counted in both."""
    features: FeatureChange | None
    cascades: CascadeChange | None
    quality: tuple[QualityChange, ...]
    caveats: tuple[str, ...]

    def write(self, folder: str | Path) -> Path:
        """Write `comparison.json` and `index.html`; returns the page.

        Raises:
            AuditError: the folder holds something that is no comparison.
        """
        from sae_audit.comparison.page import render

        target = Path(folder)
        with disk_errors(target):
            is_foreign = target.exists() and (
                not target.is_dir()
                or (any(target.iterdir()) and not (target / "comparison.json").is_file())
            )
        if is_foreign:
            raise AuditError(
                f"{shown(target)} holds something else; name another folder with --out."
            )
        written = {
            "comparison.json": json.dumps(self.as_dict(), indent=1) + "\n",
            PAGE: render(self),
        }
        with disk_errors(target):
            target.mkdir(parents=True, exist_ok=True)
        for name, text in written.items():
            write_file(target / name, text.encode())
        return target / PAGE

    def as_dict(self) -> dict[str, object]:
        return TypeAdapter(Comparison).dump_python(self, mode="json")

    def table(self) -> pd.DataFrame:
        """The verdicts as a data frame."""
        return pd.DataFrame(
            [
                {"kind": v.kind.value, "statement": v.statement, "evidence": v.evidence}
                for v in self.verdicts
            ]
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(v.kind.value)}</td><td>{escape(v.statement)}</td>"
            f"<td>{escape(v.evidence)}</td></tr>"
            for v in self.verdicts
        )
        return f"<table><caption>{escape(self.a.id)} against {escape(self.b.id)}</caption>{rows}</table>"


def compare(a: Run | str | Path, b: Run | str | Path, *, seed: int = 0) -> Comparison:
    """Compare two finished runs of the same audit. `seed` is that of bootstraps and permutations.

    Raises:
        AuditError: a run is missing or unfinished, or the two cannot be compared.
    """
    run_a = a if isinstance(a, Run) else load_run(a)
    run_b = b if isinstance(b, Run) else load_run(b)
    check_comparable(run_a, run_b)
    with fitting_together(run_a.folder, run_b.folder):
        return _compared(run_a, run_b, seed)


def _compared(run_a: Run, run_b: Run, seed: int) -> Comparison:
    behaviour = paired.behaviour(run_a, run_b, seed)
    direction = direction_change(run_a, run_b)
    needed = paired.directions_needed(run_a, run_b, seed)
    features = paired.features(run_a, run_b, seed)
    cascades = paired.cascades(run_a, run_b, seed)
    quality = paired.quality(run_a, run_b)
    lost, gained = paired.switched(run_a, run_b)
    in_b = {score.prompt_id: score.score for score in run_b.scores}
    both = (_checkpoint(run_a), _checkpoint(run_b))
    return Comparison(
        a=both[0],
        b=both[1],
        verdicts=verdicts(both, behaviour, direction, needed, features, cascades, quality),
        behaviour=behaviour,
        lost_refusal=lost,
        gained_refusal=gained,
        scores=tuple(
            (s.prompt_id, s.label, s.score, in_b[s.prompt_id])
            for s in run_a.scores
            if s.split == "audit"
        ),
        direction=direction,
        directions_needed=needed,
        features=features,
        cascades=cascades,
        quality=quality,
        caveats=tuple(caveats(run_a, run_b)),
    )


def _checkpoint(run: Run) -> Checkpoint:
    chosen = None if run.stopped_early else run.direction.selected
    return Checkpoint(
        id=run.manifest.model.id,
        sha256=run.manifest.model.sha256,
        run=printable(run.folder.resolve().name),
        layer=chosen and chosen.layer,
        position=chosen and chosen.position,
        check=run.direction_check,
        n_refused_harmful=run.findings.prompts.refused_harmful,
        n_flipped=sum(found.flipped for found in run.minimal_sets),
        absence=run.absence,
    )
