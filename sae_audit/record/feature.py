"""One feature of a run: everything that its findings say of it, in one object."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import TypeVar

import numpy as np
from pydantic import TypeAdapter

from sae_audit.catalog import NEURONPEDIA, neuronpedia_source
from sae_audit.errors import AuditError
from sae_audit.findings import (
    ActivationEdge,
    ActivationEdges,
    Candidate,
    CandidateEffect,
    CandidateEffects,
    CandidateSet,
    Cascade,
    Estimate,
    Feature,
    FeatureProfile,
    FeatureProfiles,
    InteractionGraph,
    InteractionsOverPrompts,
    MinimalSet,
    MinimalSetFamily,
    PairInteraction,
    PairKind,
    PooledSet,
    PromptScore,
    TextSet,
)
from sae_audit.findings.mentions import Mention, mentions
from sae_audit.record.facts import Manifest, SaeFacts
from sae_audit.record.feature_words import (
    EffectRow,
    Partner,
    Waking,
    effect_rows,
    headline,
    sentences,
)
from sae_audit.vocabulary import FeatureId

_L = TypeVar("_L", PairInteraction, ActivationEdge)
"""What links two features."""


@dataclass(frozen=True, kw_only=True)
class FeatureSource:
    """The part of a run that says something of single features."""

    manifest: Manifest
    scores: Sequence[PromptScore]
    candidates: CandidateSet | None
    """None if the audit ended before it had any."""
    candidate_effects: CandidateEffects | None
    minimal_sets: Sequence[MinimalSet]
    unlimited_sets: Sequence[MinimalSet]
    text_sets: Sequence[TextSet]
    families: Sequence[MinimalSetFamily]
    pooled: PooledSet | None
    graphs: Sequence[InteractionGraph]
    """Of single prompts."""
    pooled_graph: InteractionGraph | None
    over_prompts: InteractionsOverPrompts | None
    cascades: Sequence[Cascade]
    edges: Sequence[ActivationEdges]
    profiles: FeatureProfiles | None


@dataclass(frozen=True, kw_only=True)
class FeatureInRun:
    """One feature in one run. In a notebook it shows itself."""

    feature: Feature
    sae: SaeFacts
    mention: Mention | None
    """How often findings name it; None of a feature that none names."""
    rank: int | None
    """Its place among the features that findings name, from 1; None if none names it."""
    n_named: int
    """Number of features that findings name."""
    previous: FeatureId | None
    following: FeatureId | None
    """Neighbours by importance."""
    n_refused: int
    """Number of refused harmful audit prompts, each searched for a minimal set."""
    n_flipped: int
    """Number of these that have one."""
    n_families: int
    """Number of prompts for which other minimal sets were looked for and that hold the feature in some
    set."""
    n_replaced: int
    """Number of these on which a minimal set without it was found, too."""
    pooled_without: float | None
    """Share of the pooled set's building prompts still flipped if it is spared; None if it is not in
    the pooled set."""
    candidate: Candidate | None
    """None if it is no candidate."""
    place_by_cosine: int | None
    """Its place among the candidates by cosine with the direction, from 1."""
    n_candidates: int
    effect_on_harmless: CandidateEffect | None
    """What ablating it changes on harmless prompts; None if it is no candidate."""
    profile: FeatureProfile | None
    """None if it was not measured."""
    part: float
    """Share of the full ablation behind `FeatureProfile.in_part`."""
    partners: tuple[Partner, ...]
    """Named pairs, most prompts first."""
    wakes: tuple[Waking, ...]
    """Features that its ablation wakes, most prompts first."""
    woken_by: tuple[Waking, ...]
    """Features whose ablation wakes it, most prompts first."""
    topics: Mapping[str, str]
    """Category of each prompt in `FeatureProfile.top`; empty if it has none."""
    chance_cosine: float
    """About the largest cosine of a random direction with the decoder rows of its layer."""
    explanation: str = ""
    """What somebody's file says that it means; empty if none was given."""

    @property
    def id(self) -> str:
        return str(self.feature)

    @cached_property
    def verdict(self) -> str:
        """The one thing to know of it."""
        return headline(self.mention, n_flipped=self.n_flipped, n_refused=self.n_refused)

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """What else to know, most important first."""
        return sentences(
            self.profile,
            n_families=self.n_families,
            n_replaced=self.n_replaced,
            pooled_without=self.pooled_without,
        )

    @cached_property
    def effects(self) -> tuple[EffectRow, ...]:
        """Its measured effects, in words; none if it was not measured."""
        return effect_rows(self.profile, self.part) if self.profile is not None else ()

    @property
    def neuronpedia(self) -> str:
        """The address of its page on Neuronpedia; empty if the catalog does not know its SAE there."""
        source = neuronpedia_source(self.sae.release, self.sae.id, self.feature.layer)
        return f"{NEURONPEDIA}{source}/{self.feature.index}" if source else ""

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{escape(one.name)}</th><td>{escape(one.turned)}</td>"
            f"<td>{escape(one.interval)}</td><td>{escape(one.random)}</td></tr>"
            for one in self.effects
        )
        said = " ".join(escape(one) for one in (*self.sentences, self.explanation) if one)
        head = "<th></th><th>prompts</th><th>95% interval</th><th>random features</th>"
        return (
            f"<h4>Feature {escape(self.id)}: {escape(self.verdict)}</h4><p>{said}</p>"
            f"<table><thead><tr>{head}</tr></thead>{rows}</table>"
        )


class Features:
    """All features of one run, each collected when it is asked for."""

    def __init__(self, run: FeatureSource) -> None:
        self._run = run
        self.explanations: dict[FeatureId, str] = {}
        """What somebody's file says that features mean, shown with them; no part of the record."""

    @cached_property
    def named(self) -> list[Mention]:
        """The features that findings name, the most important first."""
        run = self._run
        pooled = () if run.pooled_graph is None else (run.pooled_graph,)
        return mentions(
            minimal_sets=run.minimal_sets,
            unlimited_sets=run.unlimited_sets,
            text_sets=run.text_sets,
            families=run.families,
            pooled=run.pooled,
            graphs=(*run.graphs, *pooled),
            cascades=run.cascades,
            edges=run.edges,
        )

    def each(self) -> list[FeatureInRun]:
        """Every feature that findings name, the most important first."""
        return [self.of(one.feature) for one in self.named]

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{one.id}</th><td>{escape(one.verdict)}</td></tr>" for one in self.each()
        )
        return f"<table><caption>Features by importance</caption>{rows}</table>"

    def of(self, feature: FeatureId) -> FeatureInRun:
        """
        Raises:
            AuditError: no audited SAE has such a feature.
        """
        run = self._run
        sae = self._sae(feature)
        place = self._places.get(feature)
        neighbours = [None, *(one.feature for one in self.named), None]
        pooled = run.pooled
        profile = self._profiles.get(feature)
        ranked = [] if run.candidates is None else run.candidates.nearest
        return FeatureInRun(
            feature=feature,
            sae=sae,
            mention=None if place is None else self.named[place],
            rank=None if place is None else place + 1,
            n_named=len(self.named),
            previous=None if place is None else neighbours[place],
            following=None if place is None else neighbours[place + 2],
            n_refused=len(run.minimal_sets),
            n_flipped=sum(one.flipped for one in run.minimal_sets),
            n_families=self._in_families[feature],
            n_replaced=self._in_families[feature] - self._in_cores[feature],
            pooled_without=None if pooled is None else pooled.share_without.get(feature),
            candidate=self._candidates.get(feature),
            place_by_cosine=ranked.index(feature) + 1 if feature in ranked else None,
            n_candidates=len(ranked),
            effect_on_harmless=self._on_harmless.get(feature),
            profile=profile,
            part=0.0 if run.profiles is None else run.profiles.part,
            partners=self._partners(feature),
            wakes=self._waking(feature, by_cause=True),
            woken_by=self._waking(feature, by_cause=False),
            topics={
                one.prompt_id: self._categories[one.prompt_id]
                for one in (profile.top if profile is not None else ())
            },
            chance_cosine=_chance_cosine(sae.width, run.manifest.model.d_model),
            explanation=self.explanations.get(feature, ""),
        )

    def _sae(self, feature: FeatureId) -> SaeFacts:
        saes = {sae.layer: sae for sae in self._run.manifest.saes}
        found = saes.get(feature.layer)
        if found is None:
            layers = ", ".join(map(str, sorted(saes)))
            raise AuditError(
                f"{feature} is in layer {feature.layer}, and the run audited layers {layers}; name a "
                "feature of one of them."
            )
        if feature.index >= found.width:
            raise AuditError(
                f"{feature} is beyond the SAE of layer {feature.layer}, which has {found.width} "
                f"features: L{feature.layer}/0 to L{feature.layer}/{found.width - 1}."
            )
        return found

    @cached_property
    def _places(self) -> dict[FeatureId, int]:
        return {one.feature: place for place, one in enumerate(self.named)}

    @cached_property
    def _profiles(self) -> dict[FeatureId, FeatureProfile]:
        found = self._run.profiles
        return {} if found is None else {one.feature: one for one in found.features}

    @cached_property
    def _candidates(self) -> dict[FeatureId, Candidate]:
        own = self._run.candidates
        return {} if own is None else {one.feature: one for one in own.candidates}

    @cached_property
    def _on_harmless(self) -> dict[FeatureId, CandidateEffect]:
        found = self._run.candidate_effects
        return {} if found is None else {one.feature: one for one in found.effects}

    @cached_property
    def _categories(self) -> dict[str, str]:
        return {score.prompt_id: score.category for score in self._run.scores}

    @cached_property
    def _in_families(self) -> Counter[FeatureId]:
        """By feature, the number of prompts of which some minimal set holds it."""
        return Counter(
            f
            for found in self._run.families
            for f in {f for one in found.sets for f in one.features}
        )

    @cached_property
    def _in_cores(self) -> Counter[FeatureId]:
        """By feature, the number of prompts of which every minimal set that was found holds it."""
        return Counter(f for found in self._run.families for f in found.core)

    @cached_property
    def _pairs(self) -> dict[FeatureId, list[tuple[PairInteraction, FeatureId]]]:
        """By feature, its pairs in the graphs of single prompts, each with the other one."""
        return _by_end((pair, pair.a, pair.b) for graph in self._run.graphs for pair in graph.pairs)

    @cached_property
    def _edges(self) -> dict[FeatureId, list[tuple[ActivationEdge, FeatureId]]]:
        """By feature, the edges that it is an end of, each with the other end."""
        return _by_end(
            (edge, edge.cause, edge.feature) for one in self._run.edges for edge in one.edges
        )

    def _partners(self, feature: FeatureId) -> tuple[Partner, ...]:
        kinds: dict[FeatureId, Counter[PairKind]] = {}
        weights: dict[FeatureId, list[float]] = {}
        for pair, other in self._pairs.get(feature, []):
            weights.setdefault(other, []).append(pair.weight)
            if pair.kind is not PairKind.UNCLEAR:
                kinds.setdefault(other, Counter())[pair.kind] += 1
        graph = self._run.pooled_graph
        named = () if graph is None else graph.named
        pooled = _by_end((pair, pair.a, pair.b) for pair in named).get(feature, [])
        for _, other in pooled:
            kinds.setdefault(other, Counter())
        alone = {other: pair.weight for pair, other in pooled}
        medians = self._medians(feature)
        found = [
            Partner(
                feature=other,
                n_redundant=own[PairKind.REDUNDANT],
                n_shared_path=own[PairKind.SHARED_PATH],
                n_fitted=len(weights.get(other, [])),
                weight=float(np.median(weights[other])) if other in weights else alone[other],
                low=medians[other].low if other in medians else -np.inf,
                high=medians[other].high if other in medians else np.inf,
            )
            for other, own in kinds.items()
        ]
        return tuple(sorted(found, key=lambda p: (-p.n_redundant - p.n_shared_path, p.feature)))

    def _medians(self, feature: FeatureId) -> dict[FeatureId, Estimate]:
        over = self._run.over_prompts
        return {
            pair.b if pair.a == feature else pair.a: pair.weight
            for pair in (() if over is None else over.pairs)
            if feature in (pair.a, pair.b) and pair.weight is not None
        }

    def _waking(self, feature: FeatureId, *, by_cause: bool) -> tuple[Waking, ...]:
        found: dict[FeatureId, list[ActivationEdge]] = {}
        for edge, other in self._edges.get(feature, []):
            if (edge.cause == feature) is by_cause:
                found.setdefault(other, []).append(edge)
        wakings = [
            Waking(
                feature=other,
                n_prompts=len(edges),
                kinds=Counter(edge.kind for edge in edges),
                n_controls=sum(edge.n_controls for edge in edges),
                n_controls_waking=sum(edge.n_controls_activating for edge in edges),
            )
            for other, edges in found.items()
        ]
        return tuple(sorted(wakings, key=lambda one: (-one.n_prompts, one.feature)))


def _by_end(
    found: Iterable[tuple[_L, FeatureId, FeatureId]],
) -> dict[FeatureId, list[tuple[_L, FeatureId]]]:
    """Links by either of their two ends, each with the other end."""
    by_end: dict[FeatureId, list[tuple[_L, FeatureId]]] = {}
    for one, a, b in found:
        by_end.setdefault(a, []).append((one, b))
        by_end.setdefault(b, []).append((one, a))
    return by_end


def _chance_cosine(width: int, d_model: int) -> float:
    """About the largest of the cosines of `width` random unit vectors with another one."""
    return float(np.sqrt(2.0 * np.log(max(width, 2)) / d_model))


def parsed(name: str | FeatureId) -> FeatureId:
    """The feature of a name such as `L16/25312`.

    Raises:
        AuditError: it is no such name.
    """
    if isinstance(name, FeatureId):
        return name
    try:
        return FeatureId.parse(name)
    except ValueError as error:
        raise AuditError(f"{error}: layer 16, number 25312.") from error


def as_data(found: FeatureInRun) -> dict[str, object]:
    """All of it as JSON data, its words and its address included."""
    data = TypeAdapter(FeatureInRun).dump_python(found, mode="json")
    return {
        "id": found.id,
        "verdict": found.verdict,
        "sentences": list(found.sentences),
        "neuronpedia": found.neuronpedia,
        **data,
    }
