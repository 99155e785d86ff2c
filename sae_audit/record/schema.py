"""`findings.json`, version 1: what other programs read. A feature is `[layer, index]`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sae_audit.findings import (
    Cascade,
    Controls,
    Direction,
    Estimate,
    Feature,
    InteractionGraph,
    MinimalSet,
    PairKind,
    PooledSet,
    PromptScore,
    SaeQuality,
)
from sae_audit.record.facts import Manifest


class _Published(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PublishedModel(_Published):
    id: str
    revision: str
    sha256: str
    n_layers: int
    d_model: int


class PublishedSae(_Published):
    layer: int
    release: str
    id: str
    width: int
    architecture: str
    hook_name: str
    explained_variance: float = Field(description="On this model's audited prompts.")
    l0: float = Field(description="Average number of firing features a token, same prompts.")


class PublishedPrompts(_Published):
    harmful: int = Field(description="Audit prompts of this label.")
    harmless: int
    refused_harmful: int = Field(description="Of those, refusal score > 0 on the clean run.")
    refused_harmless: int


class PublishedDirection(_Published):
    method: str
    layer: int
    position: int = Field(description="Template position, -1 is the prompt's last token.")
    bypass: float = Field(description="Mean refusal score of harmful prompts, projected out; nats.")
    induce: float = Field(description="Mean refusal score of harmless prompts, added; nats.")
    kl: float = Field(description="On harmless prompts, clean against projected out; nats.")


class PublishedMinimalSet(_Published):
    prompt_id: str
    features: list[Feature]
    clean_score: float = Field(description="Refusal score, nats of log-odds; > 0 refuses.")
    ablated_score: float = Field(
        description="With `features` ablated; with all candidates ablated where not flipped."
    )
    flipped: bool
    certified: bool = Field(description="Sparing any one feature undoes the flip; each was tried.")
    candidates: int
    forward_passes: int
    reason: str = Field(description="Why the prompt could not be flipped; empty where it was.")


class PublishedPooledSet(_Published):
    features: list[Feature]
    flipped_built: Estimate
    flipped_held_out: Estimate


class PublishedPair(_Published):
    a: Feature
    b: Feature
    weight: float = Field(description="Second difference of the refusal score, nats.")
    low: float
    high: float
    kind: PairKind
    lasso: float | None = Field(
        description="The same weight by a lasso on all pair products; null where exact."
    )


class PublishedInteractions(_Published):
    scope: str = Field(description="A prompt id, or `pooled`.")
    solver: str
    rank: int
    design: str
    r2_held_out: float
    r2_linear: float
    null_weight: float = Field(description="Largest weight over refits of shuffled scores, nats.")
    pairs: list[PublishedPair]
    reason: str


class PublishedWave(_Published):
    features: list[Feature]
    score_after: float


class PublishedCascade(_Published):
    prompt_id: str
    waves: list[PublishedWave]
    depth: int
    compensation_ratio: float | None = Field(
        description="1 - total effect / direct effect; null where the direct effect is too small."
    )
    stop: str


class PublishedCost(_Published):
    forward_passes: int
    tokens: int
    seconds: float
    peak_memory_bytes: int


class Findings(_Published):
    """The findings of one audit."""

    schema_version: Literal[1] = 1
    model: PublishedModel
    saes: list[PublishedSae]
    prompts: PublishedPrompts
    direction: PublishedDirection
    minimal_sets: list[PublishedMinimalSet]
    pooled_set: PublishedPooledSet | None = Field(description="null where no prompt was flipped.")
    interactions: PublishedInteractions | None = Field(
        description="Of the pooled set's features; null where no prompt was flipped."
    )
    interactions_by_prompt: list[PublishedInteractions]
    cascades: list[PublishedCascade]
    controls: Controls
    cost: PublishedCost


def published(
    manifest: Manifest,
    *,
    scores: list[PromptScore],
    quality: list[SaeQuality],
    direction: Direction,
    minimal_sets: list[MinimalSet],
    pooled: PooledSet | None,
    interactions: list[InteractionGraph],
    cascades: list[Cascade],
    controls: Controls,
) -> Findings:
    """The record in its published form."""
    selected = direction.selected
    by_scope = {graph.scope: _interactions(graph) for graph in interactions}
    return Findings(
        model=PublishedModel(**manifest.model.model_dump(include=set(PublishedModel.model_fields))),
        saes=_saes(manifest, quality),
        prompts=_prompts(scores),
        direction=PublishedDirection(
            method=direction.method,
            layer=selected.layer,
            position=selected.position,
            bypass=selected.bypass,
            induce=selected.induce,
            kl=selected.kl,
        ),
        minimal_sets=[_minimal_set(found) for found in minimal_sets],
        pooled_set=_pooled(pooled),
        interactions=by_scope.pop("pooled", None),
        interactions_by_prompt=list(by_scope.values()),
        cascades=[_cascade(found) for found in cascades],
        controls=controls,
        cost=PublishedCost(
            forward_passes=sum(stage.forward_passes for stage in manifest.stages),
            tokens=sum(stage.tokens for stage in manifest.stages),
            seconds=sum(stage.seconds for stage in manifest.stages),
            peak_memory_bytes=manifest.peak_memory_bytes,
        ),
    )


def _saes(manifest: Manifest, quality: list[SaeQuality]) -> list[PublishedSae]:
    measured = {one.layer: one for one in quality}
    return [
        PublishedSae(
            layer=sae.layer,
            release=sae.release,
            id=sae.id,
            width=sae.width,
            architecture=sae.architecture,
            hook_name=sae.hook_name,
            explained_variance=measured[sae.layer].explained_variance,
            l0=measured[sae.layer].l0,
        )
        for sae in manifest.saes
    ]


def _prompts(scores: list[PromptScore]) -> PublishedPrompts:
    audited = [score for score in scores if score.split == "audit"]

    def count(label: str, *, refused: bool) -> int:
        return sum(s.label == label and (not refused or s.score > 0.0) for s in audited)

    return PublishedPrompts(
        harmful=count("harmful", refused=False),
        harmless=count("harmless", refused=False),
        refused_harmful=count("harmful", refused=True),
        refused_harmless=count("harmless", refused=True),
    )


def _minimal_set(found: MinimalSet) -> PublishedMinimalSet:
    return PublishedMinimalSet(
        prompt_id=found.prompt_id,
        features=list(found.features),
        clean_score=found.score_clean,
        ablated_score=found.score_ablated,
        flipped=found.flipped,
        certified=found.certified,
        candidates=found.n_candidates,
        forward_passes=found.n_sets_scored,
        reason=found.reason,
    )


def _pooled(pooled: PooledSet | None) -> PublishedPooledSet | None:
    if pooled is None:
        return None
    return PublishedPooledSet(
        features=list(pooled.features),
        flipped_built=pooled.flipped_built,
        flipped_held_out=pooled.flipped_held_out,
    )


def _interactions(graph: InteractionGraph) -> PublishedInteractions:
    return PublishedInteractions(
        scope=graph.scope,
        solver=graph.solver,
        rank=graph.rank,
        design=graph.design,
        r2_held_out=graph.r2_held_out,
        r2_linear=graph.r2_linear,
        null_weight=graph.null_weight,
        pairs=[
            PublishedPair(
                a=pair.a,
                b=pair.b,
                weight=pair.weight,
                low=pair.low,
                high=pair.high,
                kind=pair.kind,
                lasso=pair.lasso,
            )
            for pair in graph.pairs
        ],
        reason=graph.reason,
    )


def _cascade(found: Cascade) -> PublishedCascade:
    return PublishedCascade(
        prompt_id=found.prompt_id,
        waves=[
            PublishedWave(features=list(wave.features), score_after=wave.score_after)
            for wave in found.waves
        ],
        depth=found.depth,
        compensation_ratio=found.compensation_ratio,
        stop=found.stop,
    )
