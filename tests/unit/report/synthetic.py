"""A small, valid run folder with invented numbers, written with the record's own code."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sae_audit.config import AuditConfig, PromptSettings
from sae_audit.controls.chance import against_chance
from sae_audit.direction import select_direction
from sae_audit.direction.filters import judged
from sae_audit.direction.presence import behaviour
from sae_audit.direction.selection import filters_by_bypass
from sae_audit.findings import (
    Behaviour,
    Candidate,
    CandidateSet,
    ChanceControl,
    DictionaryCoverage,
    Direction,
    DirectionCheck,
    DirectionEvaluation,
    Estimate,
    InteractionGraph,
    InteractionsOverPrompts,
    MinimalSet,
    PooledSet,
    PromptScore,
    SaeQuality,
    SuccessiveDirections,
    WidenedPool,
)
from sae_audit.findings.stages import POOLED, SEARCH_BY_CHANCE, STAGE_OF
from sae_audit.interactions.over_prompts import over_prompts
from sae_audit.record import folder as folders
from sae_audit.record.facts import (
    Environment,
    Manifest,
    ModelFacts,
    PromptSourceFacts,
    RefusalTokenFacts,
    SaeFacts,
)
from sae_audit.record.publish import published
from sae_audit.record.run import Run
from sae_audit.record.store import Spent, Store
from sae_audit.statistics import share
from sae_audit.vocabulary import FeatureId
from tests.synthetic import (
    BY_BYPASS,
    IDENTITY,
    dictionary_coverage,
    direction_check,
    successive_directions,
)
from tests.unit.report import synthetic_stages as stages

_N_LAYERS, _D_MODEL = 8, 16
_HARMFUL = ("fraud", "weapons", "hate")
_HARMLESS = ("cooking", "benign lookalike")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What the invented run is like; the defaults give one in which every section has content."""

    n_prompts: int = 12
    """Of each label and split."""
    layers: tuple[int, ...] = (2, 3, 4, 5)
    flipped: int = 9
    """Refused audit prompts that have a minimal set."""
    categories: bool = True
    pooled: bool = True
    pairs: bool = True
    """Whether interactions could be fitted."""
    compensation: bool = True
    """Whether compensation ratios could be stated."""
    prompt_id: str = "harmful-audit-0"
    """Id of the first refused audit prompt, for hostile ones."""
    seed: int = 0


def synthetic_run(folder: Path, shape: Shape | None = None) -> Run:
    """Write a finished run into `folder`: config, store, tensors, manifest, findings."""
    shape = shape or Shape()
    random = np.random.default_rng(shape.seed)
    config = AuditConfig(
        model="models/invented",
        saes="models/invented/saes",
        prompts=PromptSettings(sources=("prompts.jsonl",), train=12, validation=12, audit=12),
        name="invented-2b-it",
        layers=shape.layers,
        seed=shape.seed,
    )
    store = folders.begin(folder, config, IDENTITY, "sae-audit audit config.yaml")
    scores = _scores(shape, random)
    minimal = _minimal_sets(shape, scores, random)
    pooled = _pooled(minimal) if shape.pooled and shape.flipped > 1 else None
    _put(store, "scores", "all", list[PromptScore], scores)
    _put(store, "sae_quality", "all", list[SaeQuality], _quality(shape))
    _put(store, "direction", "selected", Direction, _direction(random))
    _put(store, "direction_check", "selected", DirectionCheck, direction_check())
    behind = successive_directions()
    _put(store, "successive_directions", "all", SuccessiveDirections, behind)
    coverage = dictionary_coverage(shape.layers)
    _put(store, "dictionary_coverage", "all", DictionaryCoverage, coverage)
    _put(store, "candidates", "cosine", CandidateSet, _candidates(shape, random))
    for i, found in enumerate(minimal):
        pool = WidenedPool(
            prompt_id=found.prompt_id,
            added=() if found.flipped else ((FeatureId(shape.layers[0], 3),),),
            scores=(found.candidates_score,) * (1 if found.flipped else 2),
        )
        _put(store, "widening", found.prompt_id, WidenedPool, pool)
        _put(store, "minimal_sets", found.prompt_id, MinimalSet, found)
        by_chance = found if i == 0 else replace(found, features=(), reason="still refuses")
        _put(store, "search_by_chance", found.prompt_id, MinimalSet, by_chance)
    if pooled is not None:
        _put(store, "pooled_set", "pooled", PooledSet, pooled)
    later = list(stages.later_stages(shape, minimal, pooled, random))
    for stage, key, kind, value in later:
        _put(store, stage, key, kind, value)
    graphs: list[InteractionGraph] = [one for stage, *_, one in later if stage == "interactions"]
    _put_counts(store, config, scores, minimal, graphs)
    means = {name: random.normal(size=(_N_LAYERS, 3, _D_MODEL)) for name in ("harmful", "harmless")}
    folders.write_tensors(folder, "means", means)
    folders.write_manifest(folder, _manifest(shape, store))
    store.close()
    return _with_findings(folder)


def _put_counts(
    store: Store,
    config: AuditConfig,
    scores: list[PromptScore],
    minimal: list[MinimalSet],
    graphs: list[InteractionGraph],
) -> None:
    """What the stages themselves would count from these."""
    _put(store, "behaviour", "all", Behaviour, behaviour(scores, seed=config.seed))
    if minimal:
        by_chance = store.all(SEARCH_BY_CHANCE)
        control = against_chance(minimal, by_chance, margin=config.evidence.margin)
        _put(store, "chance_control", "all", ChanceControl, control)
    of_prompts = [one for one in graphs if one.scope != POOLED]
    if of_prompts:
        over = over_prompts(
            of_prompts,
            next((one for one in graphs if one.scope == POOLED), None),
            n_shuffles=config.interactions.n_shuffles,
            seed=config.seed,
        )
        _put(store, "interactions_over_prompts", "all", InteractionsOverPrompts, over)


def _with_findings(folder: Path) -> Run:
    run = Run(folder)
    findings = published(run)
    folders.write_findings(folder, findings)
    return Run(folder)


def _put(store: Store, stage: str, key: str, kind: object, value: object) -> None:
    assert kind in (STAGE_OF[stage].kind, *STAGE_OF[stage].kinds), stage
    store.put(STAGE_OF[stage], key, value, Spent(forward_passes=321, tokens=6543, seconds=1.25))


def _scores(shape: Shape, random: np.random.Generator) -> list[PromptScore]:
    found: list[PromptScore] = []
    for split in ("train", "validation", "audit"):
        for label, categories, centre in (
            ("harmful", _HARMFUL, 6.0),
            ("harmless", _HARMLESS, -7.0),
        ):
            for i in range(shape.n_prompts):
                refused_lookalike = label == "harmless" and i == 1
                score = abs(centre) * random.uniform(0.6, 1.4) * np.sign(centre)
                first = label == "harmful" and split == "audit" and i == 0
                found.append(
                    PromptScore(
                        prompt_id=shape.prompt_id if first else f"{label}-{split}-{i}",
                        split=split,
                        label=label,
                        category=categories[i % len(categories)] if shape.categories else "",
                        score=float(-score if refused_lookalike else score),
                    )
                )
    return found


def _around(value: float) -> Estimate:
    return Estimate(value=value, low=value - 0.01, high=value + 0.01, n=80, method="bootstrap 95%")


def _quality(shape: Shape) -> list[SaeQuality]:
    return [
        SaeQuality(
            layer=layer,
            explained_variance=_around(0.97 - 0.021 * i),
            explained_variance_without_bos=_around(0.96 - 0.021 * i),
            explained_variance_shuffled=_around(-0.7),
            l0=_around(11.5 + 3 * i),
            ce_recovered=_around(0.99 - 0.013 * i),
            ce_clean=_around(3.5),
        )
        for i, layer in enumerate(shape.layers)
    ]


def _direction(random: np.random.Generator) -> Direction:
    filters = filters_by_bypass(_N_LAYERS, kl_limit=0.1, induce_floor=0.0, layer_cut=0.2)
    made = (
        DirectionEvaluation(
            position=position,
            layer=layer,
            bypass=float(6.0 - 1.9 * min(layer, 5) + 0.6 * position + random.normal(0, 0.3)),
            induce=float(-6.0 + 2.4 * layer + random.normal(0, 0.3)),
            kl=float(0.004 * 2.0**layer * random.uniform(0.8, 1.2)),
        )
        for layer in range(_N_LAYERS)
        for position in (-3, -2, -1)
    )
    evaluations = tuple(judged(one, filters) for one in made)
    selected = select_direction(evaluations, _N_LAYERS)
    assert isinstance(selected, DirectionEvaluation), selected
    return Direction(
        method="difference_of_means",
        selection=BY_BYPASS,
        selected=selected,
        evaluations=evaluations,
        vector=tuple(float(v) for v in random.normal(size=_D_MODEL)),
        clean_harmful=6.13,
        clean_harmless=-6.91,
        n_train=(12, 11),
        n_validation=(12, 11),
    )


def _candidates(shape: Shape, random: np.random.Generator) -> CandidateSet:
    return CandidateSet(
        method="cosine",
        per_layer=6,
        candidates=tuple(
            Candidate(feature=FeatureId(layer, 10 * i + 1), cosine=float(c))
            for layer in shape.layers
            for i, c in enumerate(sorted(random.uniform(0.2, 0.8, 6), reverse=True))
        ),
    )


def _minimal_sets(
    shape: Shape, scores: Sequence[PromptScore], random: np.random.Generator
) -> list[MinimalSet]:
    refused = [s for s in scores if s.split == "audit" and s.label == "harmful" and s.score > 0]
    return [
        _flipped(shape, score, random) if i < shape.flipped else _refusing(shape, score)
        for i, score in enumerate(refused)
    ]


def _flipped(shape: Shape, score: PromptScore, random: np.random.Generator) -> MinimalSet:
    pool = [FeatureId(layer, 10 * i + 1) for layer in shape.layers for i in range(3)]
    size = int(random.integers(2, min(6, len(pool)) + 1))
    chosen = sorted(pool[i] for i in random.permutation(len(pool))[:size])
    return MinimalSet(
        prompt_id=score.prompt_id,
        features=tuple(chosen),
        clean_score=score.score,
        candidates_score=-5.5 - float(random.uniform(0, 1)),
        ablated_score=-float(random.uniform(0.1, 1.5)),
        score_without={feature: float(random.uniform(0.01, 3.0)) for feature in chosen},
        search="splitting",
        found_by_search=tuple(chosen),
        n_candidates=6 * len(shape.layers),
        n_sets_scored=77,
        reason="",
    )


def _refusing(shape: Shape, score: PromptScore) -> MinimalSet:
    n = 6 * len(shape.layers)
    return MinimalSet(
        prompt_id=score.prompt_id,
        features=(),
        clean_score=score.score,
        candidates_score=1.32,
        ablated_score=1.32,
        score_without={},
        search="splitting",
        found_by_search=(),
        n_candidates=n,
        n_sets_scored=2,
        reason=f"Ablating all {n} candidates leaves the refusal score at +1.32, need < 0: widen "
        "the pool (candidates.per_layer) or audit more layers (layers).",
    )


def _pooled(minimal: Sequence[MinimalSet]) -> PooledSet:
    ids = [found.prompt_id for found in minimal]
    half = (len(ids) + 1) // 2
    features = tuple(sorted({f for found in minimal[:3] for f in found.features}))
    return PooledSet(
        features=features,
        built_on=tuple(ids[:half]),
        held_out=tuple(ids[half:]),
        flipped_built=share(half - 1, half),
        flipped_held_out=share(max(0, len(ids) - half - 2), len(ids) - half),
        share_without=dict.fromkeys(features, 0.4),
        n_sets_scored=345,
    )


def _manifest(shape: Shape, store: Store) -> Manifest:
    return Manifest(
        sae_audit="0.1.0",
        started="2026-01-02T03:04:05+00:00",
        finished="2026-01-02T03:44:05+00:00",
        identity=IDENTITY.sha256,
        command="sae-audit audit config.yaml",
        seed=shape.seed,
        model=ModelFacts(
            id="invented-2b-it",
            revision="",
            sha256="c0ffee" + "1" * 58,
            n_layers=_N_LAYERS,
            d_model=_D_MODEL,
            architecture="InventedForCausalLM",
            dtype="float32",
            device="cpu",
        ),
        saes=tuple(
            SaeFacts(
                layer=layer,
                release="invented-scope-res",
                repository="invented/scope",
                revision="5ca1ab1e" * 5,
                id=f"layer_{layer}",
                width=256,
                architecture="jumprelu",
                hook_name=f"blocks.{layer}.hook_resid_post",
                sha256=f"{layer:064x}",
            )
            for layer in shape.layers
        ),
        refusal_tokens=RefusalTokenFacts(ids=(40, 41), texts=("I", "Sorry"), source="found"),
        template_tokens=("<end>", "\n", "<model>"),
        prompt_sources=(
            PromptSourceFacts(
                source="prompts.jsonl", revision="", sha256="ab" * 32, n_prompts=72, set_aside={}
            ),
        ),
        environment=Environment(
            python="3.11.9",
            platform="Linux x86_64",
            packages={"torch": "2.6.0", "numpy": "2.0.0"},
            cores=2,
            memory_bytes=16 * 10**9,
            accelerator="",
        ),
        stages=store.costs(),
        peak_memory_bytes=1_234_000_000,
    )
