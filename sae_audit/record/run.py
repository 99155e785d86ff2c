"""A finished run, read back from its folder; needs no model and no torch."""

from collections.abc import Mapping
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from sae_audit.config import AuditConfig
from sae_audit.controls.chance import against_chance
from sae_audit.direction.presence import behaviour
from sae_audit.errors import AuditError
from sae_audit.findings import (
    Absence,
    AbsenceKind,
    Behaviour,
    CandidateSet,
    Cascade,
    CascadeByChance,
    ChanceControl,
    Confirmation,
    Controls,
    DictionaryCoverage,
    Direction,
    DirectionCheck,
    FlipDose,
    InteractionGraph,
    InteractionsOverPrompts,
    MinimalSet,
    MinimalSetFamily,
    NoDirection,
    PooledCascade,
    PooledSet,
    PromptScore,
    SaeQuality,
    SuccessiveDirections,
    Sufficiency,
    WakeEdges,
    Waking,
    WidenedPool,
)
from sae_audit.interactions.over_prompts import over_prompts
from sae_audit.record.facts import Manifest
from sae_audit.record.findings_file import Findings, read_findings
from sae_audit.record.layout import CONFIG, FINDINGS, MANIFEST
from sae_audit.record.payloads import validated
from sae_audit.record.reading import Recorded, own_file, read_store
from sae_audit.record.tensors import read_tensors
from sae_audit.record.whole import check_whole, fitting_together
from sae_audit.untrusted import read_json, read_yaml, shown


class Run:
    """One audit's record. Findings are typed objects; `table(...)` gives pandas data frames.

    Where the audit claims no refusal mechanism, `absence` says why. Where it stopped before a
    direction (`absence.kind.early`) what would have followed is empty: no minimal sets, graphs,
    cascades or controls; and `direction` and `candidates` raise.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def recorded(self) -> Recorded:
        """Everything in `run.sqlite`, read and checked at once."""
        return read_store(self.folder)

    @cached_property
    def config(self) -> AuditConfig:
        path = self.folder / CONFIG
        return validated(read_yaml(own_file(path)), AuditConfig, shown(path))

    @cached_property
    def manifest(self) -> Manifest:
        path = self.folder / MANIFEST
        return validated(read_json(own_file(path)), Manifest, shown(path))

    @cached_property
    def findings(self) -> Findings:
        """The published form, as in `findings.json`."""
        return read_findings(self.folder / FINDINGS)

    @cached_property
    def scores(self) -> list[PromptScore]:
        return self._one("scores")

    @cached_property
    def behaviour(self) -> Behaviour:
        """Refusal rates and separation, counted from the scores."""
        return behaviour(self.scores, seed=self.config.seed)

    @cached_property
    def absence(self) -> Absence | None:
        """Why no refusal mechanism is claimed; None where one is."""
        found = self._all("absence")
        return found[0] if found else None

    @property
    def stopped_early(self) -> bool:
        """Whether there is an absence for which no feature was looked for."""
        return self.absence is not None and self.absence.kind.early

    @cached_property
    def quality(self) -> list[SaeQuality]:
        return self._one("sae_quality")

    @cached_property
    def direction(self) -> Direction:
        """Raises:
        AuditError: no direction was found; says why.
        """
        self._check_sought("refusal direction")
        return self._one("direction")

    @cached_property
    def direction_check(self) -> DirectionCheck | None:
        """None in records made before there was such a check."""
        found = self._all("direction_check")
        return found[0] if found else None

    @cached_property
    def successive_directions(self) -> SuccessiveDirections | None:
        """None in records made before they were looked for."""
        found = self._all("successive_directions")
        return found[0] if found else None

    @cached_property
    def successive_units(self) -> Float[np.ndarray, "direction d_model"]:
        """What was projected out for them: unit, at right angles to each other, in their order."""
        return read_tensors(self.folder, "successive_directions")["units"]

    @cached_property
    def dictionary_coverage(self) -> DictionaryCoverage | None:
        """None in records made before this was measured."""
        found = self._all("dictionary_coverage")
        return found[0] if found else None

    @cached_property
    def discarded_directions(self) -> NoDirection | None:
        """The directions that were tried, where none of them passes the filters."""
        if self.absence is None or self.absence.kind is not AbsenceKind.NO_DIRECTION:
            return None
        return self._one("direction")

    @cached_property
    def candidates(self) -> CandidateSet:
        """Raises:
        AuditError: there is no direction to choose candidates by; says why.
        """
        self._check_sought("candidates")
        return self._one("candidates")

    @cached_property
    def widened(self) -> dict[str, WidenedPool]:
        """By prompt, what its candidates were widened by: nothing, where they flip it."""
        found: list[WidenedPool] = self._all("widening")
        return {one.prompt_id: one for one in found}

    @cached_property
    def minimal_sets(self) -> list[MinimalSet]:
        """In the order of the prompts; searches that advance together end in any order."""
        return self._by_prompt("minimal_sets")

    @cached_property
    def minimal_set_families(self) -> list[MinimalSetFamily]:
        """One per flipped prompt; empty where other minimal sets were not looked for."""
        return self._by_prompt("minimal_set_families")

    @cached_property
    def doses(self) -> list[FlipDose]:
        """One per refused prompt; empty where doses were left out."""
        return self._by_prompt("doses")

    @cached_property
    def sets_by_chance(self) -> list[MinimalSet]:
        """For the same prompts, what the same search finds among random candidates."""
        return self._all("search_by_chance")

    @cached_property
    def chance_control(self) -> ChanceControl | None:
        """Counted from the minimal sets and those found by chance; None where no search was made, or
        by a version that had no such control."""
        if not self.sets_by_chance:
            return None
        margin = self.config.evidence.margin
        return against_chance(self.minimal_sets, self.sets_by_chance, margin=margin)

    @cached_property
    def pooled_set(self) -> PooledSet | None:
        """None where no prompt was flipped."""
        found = self._all("pooled_set")
        return found[0] if found else None

    @cached_property
    def interactions(self) -> list[InteractionGraph]:
        """One per flipped prompt, and the pooled one under scope `pooled`."""
        return self._all("interactions")

    @cached_property
    def pooled_graph(self) -> InteractionGraph | None:
        """The one over the mean score of several prompts; None where there is no pooled set."""
        return next((graph for graph in self.interactions if graph.scope == "pooled"), None)

    @cached_property
    def prompt_graphs(self) -> list[InteractionGraph]:
        """Those of one prompt each."""
        return [graph for graph in self.interactions if graph.scope != "pooled"]

    @cached_property
    def interactions_over_prompts(self) -> InteractionsOverPrompts | None:
        """Counted from the graphs; None where no prompt has one."""
        if not self.prompt_graphs:
            return None
        return over_prompts(
            self.prompt_graphs,
            self.pooled_graph,
            n_shuffles=self.config.interactions.n_shuffles,
            seed=self.config.seed,
        )

    @cached_property
    def cascades(self) -> list[Cascade]:
        return self._all("cascades")

    @cached_property
    def cascades_by_chance(self) -> list[CascadeByChance]:
        """Their control: the same search behind a random set, one for each cascade."""
        return self._all("cascades_by_chance")

    @cached_property
    def edges(self) -> list[WakeEdges]:
        """Which features' ablation wakes which, one for each cascade."""
        return self._all("edges")

    @cached_property
    def waking(self) -> list[Waking]:
        """On which tokens features wake, one for each cascade."""
        return self._all("waking")

    @cached_property
    def pooled_cascade(self) -> PooledCascade | None:
        """None where no prompt was flipped."""
        found = self._all("pooled_cascade")
        return found[0] if found else None

    @cached_property
    def sufficiency(self) -> Sufficiency | None:
        """None in records older than the question."""
        found = self._all("sufficiency")
        return found[0] if found else None

    @cached_property
    def controls(self) -> Controls:
        """Empty where nothing was found to hold controls against."""
        if self.stopped_early:
            return Controls(per_prompt=(), pooled=(), collateral=(), error_term=None)
        return self._one("controls")

    @cached_property
    def confirmation(self) -> Confirmation | None:
        """None where flips were not confirmed in text."""
        found = self._all("confirmation")
        return found[0] if found else None

    @cached_property
    def means(self) -> Mapping[str, Float[np.ndarray, "layer template d_model"]]:
        """Mean residuals of the training prompts, `harmful` and `harmless`."""
        return read_tensors(self.folder, "means")

    @cached_property
    def means_by_group(self) -> Mapping[str, Float[np.ndarray, "group layer template d_model"]]:
        """The same of groups of the training prompts; a prompt's id alone decides on its group."""
        return {label: self._grouped[label] for label in ("harmful", "harmless")}

    @cached_property
    def group_sizes(self) -> Mapping[str, Int[np.ndarray, " group"]]:
        """Training prompts of each group behind `means_by_group`."""
        return {label: self._grouped[f"n_{label}"] for label in ("harmful", "harmless")}

    @cached_property
    def _grouped(self) -> Mapping[str, np.ndarray]:
        return read_tensors(self.folder, "means_by_group")

    @cached_property
    def random_directions(self) -> Float[np.ndarray, "direction d_model"]:
        """What the refusal direction was held against: of its norm, at right angles to it."""
        return read_tensors(self.folder, "random_directions")["directions"]

    def table(self, name: str) -> pd.DataFrame:
        """A stage as a data frame: `scores`, `saes`, `directions`, `direction_check`,
        `successive_directions` (one row a direction out), `coverage`,
        `candidates`, `minimal_sets`, `minimal_set_families` (one row a set), `doses` (one row a
        scored dose), `pairs`, `waves`, `cascades` (one row for each and one for its random
        set), `wake_edges`, `waking_tokens` or `costs`.

        `saes` has one row an audited layer: layer, release, id, width, explained_variance,
        explained_variance_without_bos, explained_variance_shuffled, l0 and ce_recovered, NaN where
        there is no such ratio; each with its interval in `_low` and `_high`.

        Raises:
            AuditError: there is no table of that name, or the record does not fit together.
        """
        from sae_audit.record.tables import TABLES

        if name not in TABLES:
            raise AuditError(f"No table {name!r}; there are {', '.join(TABLES)}.")
        with fitting_together(self.folder):
            return TABLES[name](self)

    def _repr_html_(self) -> str:
        prompts = self.findings.prompts
        flipped = sum(found.flipped for found in self.minimal_sets)
        rows = {
            "model": self.manifest.model.id,
            "refused": f"{prompts.refused_harmful} of {prompts.harmful} harmful, "
            f"{prompts.refused_harmless} of {prompts.harmless} harmless prompts",
            **({"no mechanism": self.absence.reason} if self.absence is not None else {}),
            "flipped": "not tried"
            if self.stopped_early
            else f"{flipped} of {len(self.minimal_sets)} refused prompts",
            "report": str(self.folder / "index.html"),
        }
        cells = "".join(
            f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows.items()
        )
        return f"<table><caption>sae-audit run</caption>{cells}</table>"

    def _check_sought(self, what: str) -> None:
        if self.absence is not None and self.stopped_early:
            raise AuditError(
                f"{self.folder} has no {what} ({self.absence.kind.value}): {self.absence.reason}"
            )

    # Kinds may be `list[X]`, which is no `type[T]`: each property above states what it gives.
    def _one(self, stage: str) -> Any:
        found = self._all(stage)
        assert len(found) == 1, (stage, len(found))
        return found[0]

    def _by_prompt(self, stage: str) -> list[Any]:
        places = {score.prompt_id: place for place, score in enumerate(self.scores)}
        return sorted(self._all(stage), key=lambda one: places[one.prompt_id])

    def _all(self, stage: str) -> list[Any]:
        return self.recorded.rows.get(stage, [])


def load_run(path: str | Path) -> Run:
    """A finished run from its folder, which may come from anyone: it is read whole and checked, and
    nothing in it is written or run.

    Raises:
        AuditError: there is no run, it is not finished, or it is not what an audit writes.
    """
    folder = Path(path)
    run = Run(folder)
    with fitting_together(folder):
        if not run.recorded.is_finished or not (folder / FINDINGS).is_file():
            raise AuditError(
                f"The audit in {shown(folder)} is not finished; run its command again and it resumes: "
                f"sae-audit audit {shown(folder / CONFIG)} --out {shown(folder)}"
            )
        check_whole(run)
    return run
