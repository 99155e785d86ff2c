"""Stage 4 beyond the waves: edges, tokens, all prompts together, and the way back up."""

from collections.abc import Mapping, Sequence

import numpy as np

from sae_audit.cascade.edges import wake_edges
from sae_audit.cascade.pooled import pooled_cascade
from sae_audit.cascade.waking import waking
from sae_audit.controls.sufficiency import equally_long, raised_set
from sae_audit.findings import (
    CandidateSet,
    Cascade,
    CascadeByChance,
    MinimalSet,
    PooledCascade,
    PooledSet,
    RaisedSet,
    Sufficiency,
    WakeEdges,
    Waking,
)
from sae_audit.findings.stages import EDGES, POOLED_CASCADE, SUFFICIENCY, WAKING
from sae_audit.pipeline.session import Session
from sae_audit.pipeline.training import Training
from sae_audit.prompts.types import LabelledPrompts, Prompt
from sae_audit.sampling import matched_random_sets
from sae_audit.vocabulary import (
    Ablation,
    FeatureId,
    FeatureSet,
    FeatureValues,
    Positions,
)

_AT_TEMPLATE = Ablation(positions=Positions.TEMPLATE)


def deepen_cascades(
    session: Session,
    prompts: Sequence[Prompt],
    cascades: Sequence[Cascade],
    by_chance: Sequence[CascadeByChance],
) -> PooledCascade | None:
    """Edges tested one by one, tokens, and both over all prompts; None where nothing was flipped."""
    found = {one.prompt_id: one for one in cascades}
    flipped = [prompt for prompt in prompts if prompt.id in found]
    settings, seed = session.config.cascade, session.config.seed
    subject, ablation = session.subject, session.ablation

    def edges_of(prompt: Prompt) -> WakeEdges:
        activations = subject.activations(prompt, ablation)
        return wake_edges(found[prompt.id], subject.active(prompt, ablation), activations, settings)

    def waking_of(prompt: Prompt) -> Waking:
        return waking(
            found[prompt.id],
            subject.firing(prompt, ablation),
            subject.token_classes(prompt, ablation),
            n_random=session.config.controls.random_sets,
            seed=seed,
        )

    edges = session.remember_each(EDGES, flipped, edges_of)
    wakings = session.remember_each(WAKING, flipped, waking_of)
    if not cascades:
        return None
    return session.remember(
        POOLED_CASCADE,
        lambda: pooled_cascade(cascades, edges, wakings, by_chance, seed=seed),
    )


def try_sufficiency(
    session: Session,
    training: Training,
    audit: LabelledPrompts,
    candidates: CandidateSet,
    minimal_sets: Sequence[MinimalSet],
    pooled: PooledSet | None,
    cascades: Sequence[Cascade],
) -> Sufficiency:
    """The same features set up on harmless prompts."""

    def compute() -> Sufficiency:
        named = _sets(minimal_sets, pooled, cascades)
        raising = _Raising(session, training, audit, candidates) if named else None
        return Sufficiency(
            sets=tuple(raising.tried(name, sets) for name, sets in named.items())
            if raising is not None
            else (),
            n_harmful=len(audit.harmful),
        )

    return session.remember(SUFFICIENCY, compute)


def _sets(
    minimal_sets: Sequence[MinimalSet], pooled: PooledSet | None, cascades: Sequence[Cascade]
) -> dict[str, list[FeatureSet]]:
    own = [frozenset(found.features) for found in minimal_sets if found.flipped]
    named = {
        "minimal": own,
        "pooled": [frozenset(pooled.features)] if pooled is not None else [],
        "cascade": [frozenset(f for w in found.waves for f in w.features) for found in cascades],
    }
    return {name: sets for name, sets in named.items() if sets}


class _Raising:
    """Sets features up on the harmless audit prompts."""

    def __init__(
        self,
        session: Session,
        training: Training,
        audit: LabelledPrompts,
        candidates: CandidateSet,
    ) -> None:
        self._subject, self._seed = session.subject, session.config.seed
        clean = session.subject.clean_scores(audit.harmless)
        # Scores within rounding of 0 may have changed sides since they were recorded.
        answered = np.flatnonzero(clean < 0.0)
        self._prompts = [audit.harmless[i] for i in answered]
        self._clean = clean[answered]
        self._means = session.subject.mean_activations(audit.harmful, _AT_TEMPLATE)
        self._rates = training.features().firing_rates
        self._candidates = {one.feature for one in candidates.candidates}

    def tried(self, name: str, sets: Sequence[FeatureSet]) -> RaisedSet:
        """Each harmless prompt takes one of the sets in turn, and one random set of its own."""
        questions = [(prompt, sets[i % len(sets)]) for i, prompt in enumerate(self._prompts)]
        raised = self._subject.refusal_scores(_raised(self._means))(questions)
        random = [
            self._random(prompt, features, self._seed + i)
            for i, (prompt, features) in enumerate(questions)
        ]
        return raised_set(name, self._clean, raised, np.array(random), seed=self._seed)

    def _random(self, prompt: Prompt, features: FeatureSet, seed: int) -> float:
        (drawn,) = matched_random_sets(
            features,
            self._rates,
            excluded=self._candidates | features,
            n_sets=1,
            seed=seed,
        )
        values = self._values(sorted(features), sorted(drawn))
        return float(self._subject.refusal_score(prompt, _raised(values))([drawn])[0])

    def _values(
        self, features: Sequence[FeatureId], stand_ins: Sequence[FeatureId]
    ) -> FeatureValues:
        means = {f: float(self._means[f.layer][f.index]) for f in features}
        rows = self._subject.rows([*features, *stand_ins])
        values = {layer: np.zeros_like(mean) for layer, mean in self._means.items()}
        for feature, value in equally_long(features, stand_ins, means, rows).items():
            values[feature.layer][feature.index] = value
        return values


def _raised(values: Mapping[int, np.ndarray]) -> Ablation:
    return Ablation(clamp=values, positions=Positions.TEMPLATE)
