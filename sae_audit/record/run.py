"""A finished run, read from its folder without a model or torch."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.findings import (
    AbsenceKind,
    CandidateSet,
    Controls,
    Direction,
    InteractionGraph,
    NoDirection,
    WidenedPool,
)
from sae_audit.findings.stages import (
    ABSENCE,
    ACTIVATION_TOKENS,
    BEHAVIOUR,
    CANDIDATE_EFFECTS,
    CANDIDATES,
    CASCADE_NULLS,
    CASCADES,
    CATEGORIES,
    CLAIMS,
    COACTIVATION_FM,
    CONFIRMATION,
    CONTROLS,
    DICTIONARY_NULL,
    DIRECTION,
    DIRECTION_CHECK,
    EDGES,
    FEATURE_PROFILES,
    FILTER_CURVE,
    FLIP_SCALES,
    INTERACTIONS,
    INTERACTIONS_OVER_PROMPTS,
    LAYER_PATCHING,
    MEANS,
    MEANS_BY_GROUP,
    MINIMAL_SET_FAMILIES,
    MINIMAL_SETS,
    NULL_DICTIONARIES,
    NULL_SEARCH,
    OWN_FLIPS_IN_TEXT,
    POOLED,
    POOLED_CASCADE,
    POOLED_SET,
    RANDOM_DIRECTIONS,
    RESTORATIONS,
    SAE_COVERAGE,
    SAE_QUALITY,
    SCORES,
    SEARCH_NULL,
    SET_EFFECTS,
    SUCCESSIVE_DIRECTIONS,
    SUFFICIENCY,
    TEXT_SETS,
    UNITS_OUT,
    UNLIMITED_SETS,
    WIDENING,
    OfMany,
    OfPrompts,
    OfRun,
    Stage,
)
from sae_audit.record.facts import Manifest
from sae_audit.record.feature import FeatureInRun, Features, FeatureSource, parsed
from sae_audit.record.findings_file import Findings, read_findings
from sae_audit.record.layout import CONFIG, FINDINGS, MANIFEST
from sae_audit.record.payloads import validated
from sae_audit.record.reading import Recorded, own_file, read_store
from sae_audit.record.tables import behaviour as of_behaviour
from sae_audit.record.tables import cascades as of_cascades
from sae_audit.record.tables import direction as of_direction
from sae_audit.record.tables import features as of_features
from sae_audit.record.tables import filtering as of_filtering
from sae_audit.record.tables import interactions as of_interactions
from sae_audit.record.tables import minimal_sets as of_minimal_sets
from sae_audit.record.tensors import read_tensors
from sae_audit.record.whole import check_whole, fitting_together
from sae_audit.untrusted import read_json, read_yaml, shown
from sae_audit.vocabulary import FeatureId


@runtime_checkable
class _OfPrompt(Protocol):
    @property
    def prompt_id(self) -> str: ...


R = TypeVar("R")
T = TypeVar("T")
P = TypeVar("P", bound=_OfPrompt)


def _read(stage: Stage[object], read: Callable[["Run"], R]) -> cached_property[R]:
    """A property that `help(Run)` describes by the stage that leaves the finding."""
    found = cached_property(read)
    found.__doc__ = f"{stage.label}: left by the stage `{stage.name}`."
    return found


def _one(stage: OfRun[T]) -> cached_property[T]:
    """The finding of a stage that every such record has."""
    return _read(stage, lambda run: run.recorded.one(stage))


def _found(stage: OfRun[T]) -> cached_property[T | None]:
    """The finding of a stage; None if the audit did not make it."""
    return _read(stage, lambda run: run.recorded.found(stage))


def _all(stage: OfMany[T]) -> cached_property[list[T]]:
    """Every finding of a stage, in the order written."""
    return _read(stage, lambda run: run.recorded.all(stage))


def _by_prompt(stage: OfPrompts[P]) -> cached_property[list[P]]:
    """The same in the order of the prompts."""
    return _read(stage, lambda run: run._in_order(run.recorded.all(stage)))


class Run:
    """One audit's record. Findings are typed objects; `table(...)` gives pandas data frames.

    If the model does not refuse, if its refusal is not tied to harm, or if the features found are no
    evidence, `absence` says so. If the audit stopped before a direction (`absence.kind.early`), later
    findings (minimal sets, graphs, cascades, controls) are empty; `direction` and `candidates` raise.
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

    scores = _one(SCORES)
    behaviour = _one(BEHAVIOUR)
    """Refusal rates and separation of the scores."""
    absence = _found(ABSENCE)
    """What is absent (refusal, its tie to harm, evidence of features); None if nothing is."""

    @property
    def stopped_early(self) -> bool:
        """Whether there is an absence for which the audit did not look for features."""
        return self.recorded.stopped_early

    quality = _one(SAE_QUALITY)

    @cached_property
    def direction(self) -> Direction:
        """Raises:
        AuditError: no direction was found; says why.
        """
        self._check_sought("refusal direction")
        found = self.recorded.one(DIRECTION)
        assert isinstance(found, Direction), "no direction, and no absence"
        return found

    layer_patching = _found(LAYER_PATCHING)
    """None if the audit ended before it."""
    direction_check = _found(DIRECTION_CHECK)
    """None if the audit ended before it."""
    successive_directions = _found(SUCCESSIVE_DIRECTIONS)
    """None if the audit ended before it."""

    @cached_property
    def successive_units(self) -> Float[np.ndarray, "direction d_model"]:
        """Their unit vectors, orthogonal to each other, in their order."""
        return read_tensors(self.folder, UNITS_OUT)["units"]

    categories = _found(CATEGORIES)
    """None unless a taxonomy was given."""
    sae_coverage = _found(SAE_COVERAGE)
    """None if the audit ended before it."""

    @cached_property
    def discarded_directions(self) -> NoDirection | None:
        """The candidate directions, if all of them are zero or not finite; else None."""
        if self.absence is None or self.absence.kind is not AbsenceKind.NO_DIRECTION:
            return None
        found = self.recorded.one(DIRECTION)
        assert isinstance(found, NoDirection), "a direction, and its absence"
        return found

    @cached_property
    def candidates(self) -> CandidateSet:
        """Raises:
        AuditError: there is no direction to choose candidates by; says why.
        """
        self._check_sought("candidates")
        return self.recorded.one(CANDIDATES)

    @cached_property
    def widened(self) -> dict[str, WidenedPool]:
        """By prompt, the features added to its candidates: none if the candidates flip it."""
        return {one.prompt_id: one for one in self.recorded.all(WIDENING)}

    candidate_effects = _found(CANDIDATE_EFFECTS)
    """None if the audit ended before it."""
    unlimited_sets = _by_prompt(UNLIMITED_SETS)
    """`minimal_sets` without side-effect limits, for the same prompts."""
    set_effects = _found(SET_EFFECTS)
    """Side effects of the different sets among them; None if the audit ended before it."""
    minimal_sets = _by_prompt(MINIMAL_SETS)
    """One per refused prompt, within the side-effect limits, in the order of the prompts."""
    minimal_set_families = _by_prompt(MINIMAL_SET_FAMILIES)
    """One per flipped prompt; empty if other minimal sets were not looked for."""
    flip_scales = _by_prompt(FLIP_SCALES)
    """One per refused prompt; empty if scales were left out."""
    null_sets = _all(NULL_SEARCH)
    """One per refused prompt: its scores with each random pool ablated."""
    search_null = _found(SEARCH_NULL)
    """The candidates compared with the random pools; None if no search was made."""
    own_flips_in_text = _found(OWN_FLIPS_IN_TEXT)
    """Flips of the searched prompts in text; None unless text is confirmed."""
    null_dictionaries = _all(NULL_DICTIONARIES)
    """The same search with each null dictionary; empty if none was searched."""
    dictionary_null = _found(DICTIONARY_NULL)
    """The minimal sets compared with theirs; None if none was searched."""
    pooled_set = _found(POOLED_SET)
    """None if no prompt was flipped."""
    filter_curve = _found(FILTER_CURVE)
    """None unless minimal sets were searched for by greedy filtering and one was built on."""
    coactivation_fm = _found(COACTIVATION_FM)
    """None unless it was asked for and there is a filtered set."""
    interactions = _all(INTERACTIONS)
    """One per flipped prompt, and the pooled one under scope `pooled`."""

    @cached_property
    def pooled_graph(self) -> InteractionGraph | None:
        """The graph of the mean score of several prompts; None if there is no pooled set."""
        return next((graph for graph in self.interactions if graph.scope == POOLED), None)

    @cached_property
    def prompt_graphs(self) -> list[InteractionGraph]:
        """The graphs of single prompts."""
        return [graph for graph in self.interactions if graph.scope != POOLED]

    interactions_over_prompts = _found(INTERACTIONS_OVER_PROMPTS)
    """The graphs of single prompts, summarised; None if no prompt has one."""
    cascades = _all(CASCADES)
    cascade_nulls = _all(CASCADE_NULLS)
    """Their control, one for each cascade: the same search behind a random set."""
    edges = _all(EDGES)
    """Whose ablation activates which feature, one for each cascade."""
    activation_tokens = _all(ACTIVATION_TOKENS)
    """Classes of tokens at which features activate, one for each cascade."""
    restorations = _all(RESTORATIONS)
    """What activates restores, and its controls, one for each cascade."""
    pooled_cascade = _found(POOLED_CASCADE)
    """None if no prompt was flipped."""
    sufficiency = _found(SUFFICIENCY)
    """None if the audit ended before it."""

    @cached_property
    def controls(self) -> Controls:
        """Empty if no prompt was flipped."""
        if self.stopped_early:
            return Controls(per_prompt=(), pooled=(), collateral=(), error_term=None)
        return self.recorded.one(CONTROLS)

    claims = _one(CLAIMS)
    """What the audit claims and what it does not, with the numbers that decide."""
    text_sets = _by_prompt(TEXT_SETS)
    """One per prompt flipped by score; empty unless `minimal.certify` is text."""
    confirmation = _found(CONFIRMATION)
    """None if flips were not confirmed in text."""
    feature_profiles = _found(FEATURE_PROFILES)
    """None if no finding names a feature, or `features.most` is 0."""

    @cached_property
    def means(self) -> Mapping[str, Float[np.ndarray, "layer template d_model"]]:
        """Mean residuals of the training prompts, `harmful` and `harmless`."""
        return read_tensors(self.folder, MEANS)

    @cached_property
    def means_by_group(self) -> Mapping[str, Float[np.ndarray, "group layer template d_model"]]:
        """The same by group of training prompts; a prompt's id alone decides its group."""
        return {label: self._grouped[label] for label in ("harmful", "harmless")}

    @cached_property
    def group_sizes(self) -> Mapping[str, Int[np.ndarray, " group"]]:
        """Number of training prompts of each group behind `means_by_group`."""
        return {label: self._grouped[f"n_{label}"] for label in ("harmful", "harmless")}

    @cached_property
    def _grouped(self) -> Mapping[str, np.ndarray]:
        return read_tensors(self.folder, MEANS_BY_GROUP)

    @cached_property
    def random_directions(self) -> Float[np.ndarray, "direction d_model"]:
        """Controls of the refusal direction: of its norm, orthogonal to it."""
        return read_tensors(self.folder, RANDOM_DIRECTIONS)["directions"]

    @cached_property
    def features(self) -> Features:
        """The single features of this run, by what its findings say of each."""
        return Features(
            FeatureSource(
                manifest=self.manifest,
                scores=self.scores,
                candidates=None if self.stopped_early else self.candidates,
                candidate_effects=self.candidate_effects,
                minimal_sets=self.minimal_sets,
                unlimited_sets=self.unlimited_sets,
                text_sets=self.text_sets,
                families=self.minimal_set_families,
                pooled=self.pooled_set,
                graphs=self.prompt_graphs,
                pooled_graph=self.pooled_graph,
                over_prompts=self.interactions_over_prompts,
                cascades=self.cascades,
                edges=self.edges,
                profiles=self.feature_profiles,
            )
        )

    def feature(self, name: str | FeatureId) -> FeatureInRun:
        """Everything that the run says of one feature, `run.feature("L16/25312")`.

        Raises:
            AuditError: it is no feature of an audited SAE.
        """
        with fitting_together(self.folder):
            return self.features.of(parsed(name))

    def table(self, name: str) -> pd.DataFrame:
        """A stage's findings as a data frame, one of `TABLES`, which describes each.

        Raises:
            AuditError: there is no table of that name, or the record does not fit together.
        """
        if name not in TABLES:
            raise AuditError(f"No table {name!r}; there are {', '.join(TABLES)}.")
        with fitting_together(self.folder):
            return TABLES[name](self)

    def _repr_html_(self) -> str:
        prompts = self.findings.prompts
        flipped = sum(found.flipped for found in self.minimal_sets)
        by_score = f"{flipped} of {len(self.minimal_sets)} refused prompts by score"
        read = self.confirmation
        in_text = (
            f"{read.n_flipped_in_text} of {read.n_refused} refused prompts in text; "
            if read is not None and read.of_flips
            else ""
        )
        rows = {
            "model": self.manifest.model.id,
            "refused": f"{prompts.refused_harmful} of {prompts.harmful} harmful, "
            f"{prompts.refused_harmless} of {prompts.harmless} harmless prompts"
            + (
                f", {prompts.refused_lookalikes} of {prompts.safe_lookalikes} safe look-alikes"
                if prompts.safe_lookalikes
                else ""
            ),
            **({"absent": self.absence.reason} if self.absence is not None else {}),
            "flipped": "not tried"
            if self.stopped_early
            else f"{in_text}{by_score}{'' if in_text else '; not confirmed in text'}",
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

    def _in_order(self, found: Sequence[P]) -> list[P]:
        """In the order of the prompts."""
        places = {score.prompt_id: place for place, score in enumerate(self.scores)}
        return sorted(found, key=lambda one: places[one.prompt_id])


TABLES: Mapping[str, Callable[[Run], pd.DataFrame]] = {
    "scores": lambda run: of_behaviour.scores(run.scores),
    # One row per audited layer: each measure with its interval in `_low` and `_high`, NaN if there
    # is no such ratio.
    "saes": lambda run: of_behaviour.saes(run.quality, run.manifest.saes),
    "directions": lambda run: of_direction.directions(
        run.discarded_directions if run.stopped_early else run.direction
    ),
    "direction_check": lambda run: of_direction.direction_check(run.direction_check),
    # One row per layer: mean scores with its stream replaced at the end of the prompt.
    "layers": lambda run: of_direction.patched_layers(run.layer_patching),
    # One row per direction projected out.
    "successive_directions": lambda run: of_direction.successive_directions(
        run.successive_directions
    ),
    "coverage": lambda run: of_direction.coverage(run.sae_coverage),
    "candidates": lambda run: of_direction.candidates(
        None if run.stopped_early else run.candidates
    ),
    "minimal_sets": lambda run: of_minimal_sets.minimal_sets(
        run.minimal_sets, run.null_sets, margin=run.config.evidence.margin
    ),
    # One row per set.
    "minimal_set_families": lambda run: of_minimal_sets.minimal_set_families(
        run.minimal_set_families
    ),
    # One row per scored scale.
    "flip_scales": lambda run: of_minimal_sets.scales(run.flip_scales),
    # One row per size and origin, on validation prompts.
    "filter_curve": lambda run: of_filtering.filter_curve(run.filter_curve),
    # One row per origin: what filtering keeps, what a machine adds to it, equally large rivals.
    "filtered_sets": lambda run: of_filtering.filtered_sets(run.coactivation_fm),
    "interaction_fits": lambda run: of_interactions.interaction_fits(run.interactions),
    "pairs": lambda run: of_interactions.pairs(run.interactions),
    "pairs_over_prompts": lambda run: of_interactions.pairs_over_prompts(
        run.interactions_over_prompts
    ),
    "triples": lambda run: of_interactions.triples(run.interactions),
    "waves": lambda run: of_cascades.waves(run.cascades),
    # One row per cascade, and one for its random set.
    "cascades": lambda run: of_cascades.cascades(run.cascades, run.cascade_nulls),
    "activation_edges": lambda run: of_cascades.activation_edges(run.edges),
    "activation_tokens": lambda run: of_cascades.activation_tokens(run.activation_tokens),
    # One row per feature that findings name, by importance; each effect with its interval and its
    # control, NaN where it was not measured.
    "features": lambda run: of_features.features(run.features.each()),
    "costs": lambda run: of_behaviour.costs(run.manifest.stages),
}
"""Data frames that `Run.table` gives, by name."""


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
        check_whole(folder, run.recorded, run.config, run.manifest, run.findings)
    return run
