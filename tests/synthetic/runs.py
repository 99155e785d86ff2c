"""A small, valid run folder without a model, written with the record's own code."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from sae_audit.cascade.pooled import pooled_cascade
from sae_audit.config import AuditConfig, PromptSettings
from sae_audit.controls.dictionary_null import against_dictionaries, own_sets
from sae_audit.controls.search_null import against_null
from sae_audit.direction.presence import behaviour
from sae_audit.findings import (
    AbsenceKind,
    Candidate,
    CandidateEffect,
    CandidateEffects,
    CandidateSet,
    Cascade,
    Claim,
    ClaimAbout,
    Collateral,
    Controls,
    Direction,
    DirectionCheck,
    DirectionEvaluation,
    DirectionOut,
    InteractionGraph,
    LayerCoverage,
    LayerPatching,
    MinimalSet,
    NoDirection,
    PooledSet,
    PromptScore,
    RaisedSet,
    Restoration,
    SaeCoverage,
    SaeQuality,
    ScaleControl,
    SetControl,
    SetEffects,
    SideEffects,
    SuccessiveDirections,
    Sufficiency,
    TextSet,
    WidenedPool,
)
from sae_audit.findings.stages import POOLED, STAGE_OF
from sae_audit.interactions.over_prompts import over_prompts
from sae_audit.record import folder as folders
from sae_audit.record import layout
from sae_audit.record.facts import (
    Environment,
    Manifest,
    ModelFacts,
    RefusalTokenFacts,
    SaeFacts,
    StageFacts,
)
from sae_audit.record.identity import RunIdentity, run_identity
from sae_audit.record.publish import published
from sae_audit.record.run import Run
from sae_audit.record.store import Row, Spent
from tests.synthetic import findings
from tests.synthetic.findings import BY_BYPASS, A, B, C

N_LAYERS, D_MODEL, N_TEMPLATE = 4, 8, 2
LAYERS = (1, 2)
"""Those that have an SAE."""
COST = Spent(forward_passes=10, tokens=200, seconds=0.5)
IDENTITY = RunIdentity(parts={"version": "0.1.0"})
"""Of runs that are begun and never read."""
_RIVALS = (
    *("random_matched", "random_norm", "linear_probe", "linear_probe_end", "top_cosine"),
    *("mean_difference", "attribution"),
)
_EARLY = ("scores", "behaviour", "sae_quality", "absence", "claims")
"""All that an audit has found which ended before it looked for features."""


def synthetic_run(
    folder: Path,
    *,
    scores: list[PromptScore] | None = None,
    minimal_sets: list[MinimalSet] | None = None,
    cascades: list[Cascade] | None = None,
    restored: list[Restoration] | None = None,
    graphs: list[InteractionGraph] | None = None,
    found: Mapping[str, list[Any]] | None = None,
    flipped: bool = True,
    absent: AbsenceKind | None = None,
    means: dict[str, np.ndarray] | None = None,
    facts: Mapping[str, Any] | None = None,
    first: int = 101,
    **settings: object,
) -> Run:
    """A finished run in `folder`; with `flipped=False`, one in which nothing could be flipped, with
    `absent`, one in which no mechanism is claimed.

    What follows from scores, minimal sets, cascades and interactions does so here too. `found` holds
    the rows of any other stage by its name, `facts` what the manifest says otherwise than usual;
    invented numbers count up from `first`.
    """
    usual = {
        "model": "models/tiny",
        "saes": "saes/tiny",
        "prompts": PromptSettings(sources=("prompts.jsonl",)),
    }
    config = AuditConfig.model_validate({**usual, **settings})
    early = absent is not None and absent.early
    scores = scores or findings.prompt_scores([4.0, 3.0], [-5.0, -6.0])
    if minimal_sets is None:
        features = (A, B) if flipped and not early else ()
        refused = [s.prompt_id for s in scores if s.label == "harmful" and s.score > 0]
        minimal_sets = [findings.minimal(one, *features) for one in refused]
    of_flipped = [one for one in minimal_sets if one.flipped]
    if cascades is None:
        cascades = [findings.cascade(one.prompt_id, A, B) for one in of_flipped]
    if graphs is None:
        scopes = [of_flipped[0].prompt_id, POOLED] if of_flipped else []
        graphs = [findings.graph(scope) for scope in scopes]
    numbers = count(first)
    rows: dict[str, list[Any]] = {
        "scores": [scores],
        "behaviour": [behaviour(scores, seed=config.seed)],
        **_of_the_model(scores, numbers),
        **_of_sets(minimal_sets, config, numbers),
        **_of_interactions(graphs, config),
        **_of_cascades(cascades, restored, numbers),
        "feature_profiles": [findings.feature_profiles(of_flipped, scores)] if of_flipped else [],
        "absence": [] if absent is None else [findings.absence(absent)],
        "claims": [[Claim.example(numbers, about=about) for about in ClaimAbout]],
        **(found or {}),
    }
    if early:
        rows = {stage: rows[stage] for stage in _EARLY}
    if absent is AbsenceKind.NO_DIRECTION:
        rows["direction"] = [no_direction(numbers)]
    return _written(folder, config, rows, means, facts or {})


def _written(
    folder: Path,
    config: AuditConfig,
    rows: Mapping[str, list[Any]],
    means: dict[str, np.ndarray] | None,
    facts: Mapping[str, Any],
) -> Run:
    layout.discard(folder)
    identity = run_identity(config, "0.1.0", {})
    store = folders.begin(folder, config, identity, "sae-audit audit x")
    store.put_all(
        [
            Row(stage=STAGE_OF[stage], key=str(number), value=one, spent=COST)
            for stage, objects in rows.items()
            for number, one in enumerate(objects)
        ]
    )
    random = np.random.default_rng(0)
    shape = (N_LAYERS, N_TEMPLATE, D_MODEL)
    default = {"harmful": random.normal(size=shape), "harmless": random.normal(size=shape)}
    write_means(folder, means or default)
    folders.write_tensors(folder, "random_directions", {"directions": np.eye(D_MODEL)[-3:]})
    folders.write_tensors(folder, "successive_directions", {"units": np.eye(D_MODEL)[:1]})
    made = manifest(stages=store.costs(), identity=identity.sha256, **facts)
    folders.write_manifest(folder, made)
    folders.write_findings(folder, published(Run(folder)))
    store.set_fact("finished", folders.now())
    store.close()
    return Run(folder)


def write_means(folder: Path, means: dict[str, np.ndarray]) -> None:
    """Recorded means, of groups of two prompts that are all alike."""
    folders.write_tensors(folder, "means", means)
    by_group = {label: np.stack([own] * 10).astype(np.float32) for label, own in means.items()}
    counts = {f"n_{label}": np.full(10, 2) for label in means}
    folders.write_tensors(folder, "means_by_group", by_group | counts)


def _of_the_model(scores: Sequence[PromptScore], numbers: Iterator[int]) -> dict[str, list[Any]]:
    """Rows of the stages that ask of no single prompt's refusal."""
    first, second = LAYERS
    return {
        "sae_quality": [[SaeQuality.example(numbers, layer=layer) for layer in LAYERS]],
        "direction": [
            Direction.example(
                numbers,
                method="difference_of_means",
                selection=BY_BYPASS,
                selected=evaluations()[5],
                breaks=(),
                unclean="",
                without_kl_limit=evaluations()[5],
                weak=False,
                evaluations=evaluations(),
                vector=tuple(float(next(numbers)) for _ in range(D_MODEL)),
                stopped=(),
            )
        ],
        "layer_patching": [LayerPatching.example(numbers)],
        "categories": [findings.categories(numbers)],
        "direction_check": [DirectionCheck.example(numbers)],
        "successive_directions": [
            SuccessiveDirections.example(
                numbers,
                directions=tuple(DirectionOut.example(numbers, layer=one) for one in LAYERS),
                needed={one.prompt_id: i for i, one in enumerate(scores[:3], 1)},
            )
        ],
        "sae_coverage": [
            SaeCoverage.example(
                numbers,
                reason="",
                layers=(
                    LayerCoverage.example(
                        numbers, layer=first, in_reconstruction=None, in_error=None
                    ),
                    LayerCoverage.example(numbers, layer=second),
                ),
            )
        ],
        "candidates": [
            CandidateSet(
                method="cosine",
                per_layer=2,
                reason="",
                candidates=tuple(
                    Candidate(feature=one, cosine=cosine)
                    for one, cosine in ((A, 0.53), (B, 0.47), (C, 0.41))
                ),
            )
        ],
    }


def evaluations() -> tuple[DirectionEvaluation, ...]:
    """Of every layer and template position, the later the better and the costlier."""
    return tuple(
        DirectionEvaluation(
            position=position,
            layer=layer,
            bypass=-layer - 0.5 + position / 8,
            induce=1.0 + layer / 4 + position / 16,
            kl=0.01 * layer - 0.001 * position,
        )
        for layer in range(N_LAYERS)
        for position in range(-N_TEMPLATE, 0)
    )


def no_direction(numbers: Iterator[int]) -> NoDirection:
    return NoDirection.example(
        numbers,
        selection=BY_BYPASS,
        reason="Not one of them has finite numbers.",
        evaluations=evaluations(),
        stopped=(),
    )


def _of_sets(
    minimal_sets: Sequence[MinimalSet], config: AuditConfig, numbers: Iterator[int]
) -> dict[str, list[Any]]:
    """Rows of the minimal sets and of what is held against them."""
    flipped = [one for one in minimal_sets if one.flipped]
    scales = [findings.scale(one) for one in minimal_sets]
    pools = [
        WidenedPool(prompt_id=one.prompt_id, added=(), scores=(one.candidates_score,))
        for one in minimal_sets
    ]
    null = [findings.null_scores(one.prompt_id) for one in minimal_sets]
    margin = config.evidence.margin
    dictionaries = findings.null_dictionaries(minimal_sets) if flipped else []
    return {
        "widening": pools,
        "candidate_effects": [
            CandidateEffects.example(
                numbers,
                clamp="0.0",
                beyond_alone=(C,),
                effects=tuple(CandidateEffect.example(numbers, feature=one) for one in (A, B, C)),
            )
        ],
        "unlimited_sets": [replace(one, side_effects=None) for one in minimal_sets],
        "set_effects": [
            [
                SetEffects(
                    features=features, side_effects=SideEffects.example(numbers, within=True)
                )
                for features in dict.fromkeys(one.features for one in flipped)
            ]
        ],
        "minimal_sets": list(minimal_sets),
        "own_flips_in_text": [
            [
                TextSet.example(numbers, prompt_id=one.prompt_id, features=one.features)
                for one in flipped
            ]
        ]
        if dictionaries
        else [],
        "null_dictionaries": dictionaries,
        "dictionary_null": [
            against_dictionaries(
                own_sets(minimal_sets, minimal_sets, [one.prompt_id for one in minimal_sets], None),
                dictionaries,
                n_asked=2,
                one_ends=False,
                in_text=False,
            )
        ]
        if dictionaries
        else [],
        "minimal_set_families": [findings.family(one) for one in flipped],
        "flip_scales": scales,
        "null_search": null,
        "search_null": [against_null(minimal_sets, pools, null, {}, margin=margin)]
        if minimal_sets
        else [],
        "pooled_set": [pooled_set(flipped, numbers)] if flipped else [],
        "filter_curve": [findings.filter_curve(flipped)] if flipped else [],
        "coactivation_fm": [findings.coactivation_fm(flipped)] if flipped else [],
        "controls": [
            Controls.example(
                numbers,
                per_prompt=_rivals("minimal", numbers),
                pooled=_rivals("pooled", numbers),
                rivals=findings.rivals(numbers),
                collateral=tuple(
                    Collateral.example(numbers, name=name) for name in ("pooled", *_RIVALS)
                ),
                scales=tuple(
                    ScaleControl.example(numbers, ablated=ablated)
                    for ablated in sorted({one.ablated for one in scales}, reverse=True)
                ),
            )
            if flipped
            else Controls(per_prompt=(), pooled=(), collateral=(), error_term=None)
        ],
    }


def _rivals(own: str, numbers: Iterator[int]) -> tuple[SetControl, ...]:
    return tuple(SetControl.example(numbers, name=name) for name in (own, *_RIVALS))


def pooled_set(flipped: Sequence[MinimalSet], numbers: Iterator[int]) -> PooledSet:
    """The features of the first prompt, built on the first half of the prompts."""
    ids = [one.prompt_id for one in flipped]
    half = (len(ids) + 1) // 2
    features = flipped[0].features
    return PooledSet.example(
        numbers,
        features=features,
        built_on=tuple(ids[:half]),
        held_out=tuple(ids[half:]),
        excluded=(),
        without_limits=None,
        share_without={one: i / 8 for i, one in enumerate(features)},
    )


def _of_interactions(graphs: list[InteractionGraph], config: AuditConfig) -> dict[str, list[Any]]:
    of_prompts = [one for one in graphs if one.scope != POOLED]
    pooled = next((one for one in graphs if one.scope == POOLED), None)
    n_shuffles = config.interactions.n_shuffles
    return {
        "interactions": graphs,
        "interactions_over_prompts": [over_prompts(of_prompts, pooled, n_shuffles=n_shuffles)]
        if of_prompts
        else [],
    }


def _of_cascades(
    cascades: list[Cascade], restored: list[Restoration] | None, numbers: Iterator[int]
) -> dict[str, list[Any]]:
    """Rows of the cascades and of all that follows them; pooled by the real code."""
    null = [findings.null(one) for one in cascades]
    edges = [findings.edges(one) for one in cascades]
    activated = [findings.activation_tokens(one) for one in cascades]
    restored = restored or [findings.restoration(one) for one in cascades]
    return {
        "cascades": cascades,
        "cascade_nulls": null,
        "edges": edges,
        "activation_tokens": activated,
        "restorations": restored,
        "pooled_cascade": [
            pooled_cascade(cascades, edges, activated, null, restored, min_effect=0.1, seed=0)
        ]
        if cascades
        else [],
        "sufficiency": [
            Sufficiency.example(
                numbers,
                sets=tuple(
                    RaisedSet.example(numbers, name=name)
                    for name in ("minimal", "pooled", "cascade")
                    if cascades
                ),
            )
        ],
    }


def manifest(
    *,
    model: str = "tiny",
    sae_sha256: str = "5ae",
    refusal_ids: tuple[int, ...] = (7,),
    stages: tuple[StageFacts, ...] = (),
    identity: str = "",
) -> Manifest:
    return Manifest(
        sae_audit="0.1.0",
        started="2026-01-01T00:00:00+00:00",
        finished="2026-01-01T00:05:00+00:00",
        identity=identity,
        command="sae-audit audit x",
        seed=0,
        model=ModelFacts(
            id=model,
            revision="",
            sha256="abc" * 21,
            n_layers=N_LAYERS,
            d_model=D_MODEL,
            architecture="TinyForCausalLM",
            dtype="float32",
            device="cpu",
        ),
        saes=tuple(
            SaeFacts(
                layer=layer,
                release="saes/tiny",
                repository="invented/scope",
                revision=f"{layer}5ca1ab1e",
                id=f"layer_{layer}",
                width=1024 + layer,
                architecture="jumprelu",
                hook_name=f"blocks.{layer}.hook_resid_post",
                sha256=f"{layer}{sae_sha256}",
            )
            for layer in LAYERS
        ),
        refusal_tokens=RefusalTokenFacts(ids=refusal_ids, texts=("I", "No"), source="given"),
        template_tokens=("<end_of_turn>", "\n"),
        prompt_sources=(),
        environment=Environment(
            python="3.11",
            platform="Linux x86_64",
            packages={"torch": "2"},
            cores=2,
            memory_bytes=2 * 10**9,
            accelerator="",
        ),
        stages=stages,
        peak_memory_bytes=10**9,
    )
