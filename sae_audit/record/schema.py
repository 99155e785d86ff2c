"""`findings.json`, version 1: what other programs read. A feature is `[layer, index]`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sae_audit.findings import (
    ClassifierFit,
    Confirmation,
    Controls,
    Estimate,
    Feature,
    PairKind,
    TripleInteraction,
)


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
    repository: str = Field(description="Of the hub; empty for a local folder.")
    revision: str = Field(description="Commit of that repository; empty for a local folder.")
    id: str
    width: int
    architecture: str
    hook_name: str
    explained_variance: float = Field(description="On this model's audited prompts, all tokens.")
    explained_variance_without_bos: float = Field(description="The same, all tokens but BOS.")
    l0: float = Field(description="Average number of firing features a token, same prompts.")
    ce_recovered: float | None = Field(
        description="Cross-entropy of the model's own greedy answers of up to 16 tokens recovered by "
        "the SAE in place of this layer's output, (CE_zero - CE_sae) / (CE_zero - CE_clean), in "
        "prompt and answer, BOS left as it is; first 16 audit prompts of each label. Null where "
        "there is no ratio: CE_zero <= CE_clean."
    )


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
    r2_pairs: float | None = Field(
        default=None,
        description="Held-out R2 of the best pairwise model; at most the rest is beyond pairs.",
    )
    r2_half_masks: float | None = Field(
        default=None, description="Held-out R2 of `solver` fitted on half of the masks."
    )
    triples: list[TripleInteraction] = Field(
        default=[], description="Third differences beyond chance, nats; empty where pairs suffice."
    )
    classifiers: list[ClassifierFit] = Field(
        default=[], description="Models of refused against complied under the same masks."
    )


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
    confirmation: Confirmation | None = Field(
        default=None, description="Flips judged in text; null where that was not asked for."
    )
    cost: PublishedCost
