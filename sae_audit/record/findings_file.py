"""`findings.json`, version 1: what other programs read. A feature is `[layer, index]`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sae_audit.findings import (
    AbsenceKind,
    ChanceControl,
    ClassifierFit,
    Confirmation,
    Controls,
    DictionaryCoverage,
    DirectionCheck,
    Estimate,
    ExplainedExactly,
    Feature,
    FirstWaveEffects,
    HeldOutR2,
    InteractionsOverPrompts,
    PairKind,
    PooledCascade,
    SolverFit,
    SuccessiveDirections,
    Sufficiency,
    TripleInteraction,
    WakeEdge,
    Waking,
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
    explained_variance: Estimate = Field(description="On this model's audited prompts, all tokens.")
    explained_variance_without_bos: Estimate = Field(description="The same, all tokens but BOS.")
    explained_variance_shuffled: Estimate = Field(
        description="Its control: the same activations on decoder rows dealt to other features."
    )
    l0: Estimate = Field(description="Average number of firing features a token, same prompts.")
    ce_recovered: Estimate | None = Field(
        description="Cross-entropy of the model's own greedy answers of up to 16 tokens recovered by "
        "the SAE in place of this layer's output, (CE_zero - CE_sae) / (CE_zero - CE_clean), in "
        "prompt and answer, BOS left as it is; first 16 audit prompts of each label. Null where "
        "there is no ratio: the interval of CE_zero - CE_clean reaches 0."
    )


class PublishedPrompts(_Published):
    harmful: int = Field(description="Audit prompts of this label.")
    harmless: int
    refused_harmful: int = Field(description="Of those, refusal score > 0 on the clean run.")
    refused_harmless: int


class PublishedBehaviour(_Published):
    refused_harmful: Estimate = Field(description="Share of audit prompts, refusal score > 0.")
    refused_harmless: Estimate
    separation: Estimate = Field(
        description="AUROC of the refusal score, harmful against harmless audit prompts."
    )
    separation_p_value: float = Field(description="One-sided, labels permuted.")


class PublishedAbsence(_Published):
    kind: AbsenceKind = Field(
        description="no_refusal, refuses_everything, no_separation, no_direction: the audit stopped "
        "there, and all that would follow is empty; no_flip, not_beyond_chance: minimal sets were "
        "searched and are no evidence."
    )
    reason: str = Field(description="The numbers that say so.")
    also: list[AbsenceKind] = Field(description="Later reasons that hold as well.")
    remedy: str = Field(description="What to check before believing it.")


class PublishedDirection(_Published):
    method: str
    layer: int
    position: int = Field(description="Template position, -1 is the prompt's last token.")
    bypass: float = Field(
        description="Mean refusal score of harmful prompts, projected out; nats. This and the next two "
        "are measures of choice, on the validation prompts it was chosen on: `check` is the finding."
    )
    induce: float = Field(description="Mean refusal score of harmless prompts, added; nats.")
    kl: float = Field(description="On harmless prompts, clean against projected out; nats.")
    clean_harmful: float = Field(description="Of the same validation prompts, unablated; nats.")
    clean_harmless: float
    n_validation: tuple[int, int] = Field(description="Harmful and harmless prompts behind these.")
    check: DirectionCheck | None = Field(
        default=None,
        description="The same on audit prompts, with intervals and beside random directions; null in "
        "records made before it was measured.",
    )
    successive: SuccessiveDirections | None = Field(
        default=None,
        description="Refusal directions behind it, each found with all before it projected out, and "
        "how many a prompt needs; null in records made before they were looked for.",
    )


class PublishedCandidate(_Published):
    feature: Feature
    cosine: float = Field(
        description="Of its decoder row with the direction; `dictionary_coverage.layers` holds what "
        "the rows nearest a random direction have."
    )
    attribution: float | None = Field(
        description="Estimated drop of the refusal score, nats, mean over refused training prompts; "
        "null where candidates were chosen by cosine alone."
    )


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
    widened_by: list[Feature] = Field(
        description="Candidates added for this prompt, because the others together did not flip it."
    )
    forward_passes: int
    reason: str = Field(description="Why the prompt could not be flipped; empty where it was.")


class PublishedMinimalSetFamily(_Published):
    prompt_id: str
    sets: list[list[Feature]] = Field(
        description="Each flips the prompt and can spare none; the first is in `minimal_sets`."
    )
    complete: bool = Field(
        description="No other minimal set exists, if ablating more never restores refusal; false "
        "where the budget ended first, or scores contradict that."
    )
    contradicted: bool = Field(
        description="Some scored set refuses although a part of it flips: ablating more can "
        "restore refusal."
    )
    core: list[Feature] = Field(description="Features in every listed set.")
    replaceable: list[Feature] = Field(description="Features in some listed set, not in all.")
    forward_passes: int = Field(description="Sets scored to find those after the first.")


class PublishedDose(_Published):
    prompt_id: str
    ablated: str = Field(
        description="`minimal_set`, or `candidates` where all of them together do not flip the "
        "prompt and were overshot."
    )
    dose: float | None = Field(
        description="Smallest scored share of the ablation that flips; 1 is the whole, more "
        "overshoots. Null where none up to `dose_below` does."
    )
    score: float = Field(description="At `dose`, nats; at `dose_below` where there is none.")
    dose_below: float = Field(description="Largest scored dose that is below, and refuses.")
    score_below: float


class PublishedPooledSet(_Published):
    features: list[Feature]
    flipped_built: Estimate
    flipped_held_out: Estimate


class PublishedPair(_Published):
    a: Feature
    b: Feature
    weight: float = Field(description="Second difference of the refusal score, nats.")
    low: float = Field(
        description="95% interval over masks, the prompts as they are; `weight` itself where solver is "
        "`exact`: every set was scored, there is no sampling error."
    )
    high: float
    kind: PairKind
    lasso: float | None = Field(
        description="The same weight by a lasso on all pair products; null where exact."
    )


class PublishedInteractions(_Published):
    scope: str = Field(description="A prompt id, or `pooled`.")
    n_prompts: int = Field(description="Prompts that the score is the mean over.")
    solver: str
    rank: int
    design: str
    n_masks: int
    n_held_out: int = Field(description="Masks on which nothing was fitted or chosen.")
    r2: HeldOutR2 | None = Field(
        description="On those masks, bootstrap over them; null where nothing was fitted, or all was "
        "computed."
    )
    explained: ExplainedExactly | None = Field(
        description="Shares of the variance of all 2^n scores; null unless solver is `exact`."
    )
    fits: list[SolverFit] = Field(description="Every solver on the same masks.")
    null_weight: float | None = Field(
        description="Chance level: largest weight over refits of shuffled scores, nats; what is called "
        "negligible where solver is `exact`; null where there is no pair."
    )
    pairs: list[PublishedPair]
    reason: str
    null_triple: float | None = Field(
        default=None,
        description="Chance level of a triple: one graph of 20 without any exceeds it, nats.",
    )
    triples: list[TripleInteraction] = Field(
        default=[],
        description="Third differences beyond `null_triple`, nats; empty where pairs suffice.",
    )
    classifiers: list[ClassifierFit] = Field(
        default=[], description="Models of refused against complied under the same masks."
    )


class PublishedWave(_Published):
    features: list[Feature]
    score_after: float


class PublishedChanceCascade(_Published):
    waves: list[PublishedWave]
    depth: int
    effects: FirstWaveEffects | None = Field(
        description="Of the random first wave, nats; null where there is no direct effect."
    )
    stop: str


class PublishedCascade(_Published):
    prompt_id: str
    waves: list[PublishedWave]
    depth: int
    effects: FirstWaveEffects | None = Field(
        description="Falls of the refusal score when the first wave is ablated, nats: as it is, and "
        "with dormant features held at zero; null where there is no such direct effect."
    )
    compensation_ratio: float | None = Field(
        description="1 - total effect / direct effect; null where the direct effect is too small."
    )
    frozen_compensation_ratio: float | None = Field(
        default=None,
        description="The same with the direct effect's final norm frozen; null where not stated.",
    )
    stop: str
    edges: list[WakeEdge] = Field(
        default=[], description="Which features' ablation wakes which, tested one by one."
    )
    waking: Waking | None = Field(
        default=None, description="On which tokens features wake; null in older records."
    )
    by_chance: PublishedChanceCascade | None = Field(
        default=None,
        description="The control: the same search behind a matched random set; null where nothing "
        "else fires in the first wave's layers.",
    )


class PublishedCost(_Published):
    """What the audit asked for. Time and memory differ from run to run: `manifest.json`."""

    forward_passes: int
    tokens: int


class Findings(_Published):
    """The findings of one audit."""

    schema_version: Literal[1] = 1
    model: PublishedModel
    saes: list[PublishedSae]
    prompts: PublishedPrompts
    behaviour: PublishedBehaviour | None = Field(
        default=None, description="Null only in files of before this field."
    )
    absence: PublishedAbsence | None = Field(
        default=None, description="Why no refusal mechanism is claimed; null where one is."
    )
    dictionary_coverage: DictionaryCoverage | None = Field(
        default=None,
        description="How much of what removing the direction does the candidates reach and the SAEs "
        "show; null in records made before it was measured.",
    )
    direction: PublishedDirection | None = Field(
        description="Null where the audit stopped before one was found; `absence` says why."
    )
    candidates: list[PublishedCandidate] = Field(
        default=[], description="What minimal sets were searched among; empty without a direction."
    )
    minimal_sets: list[PublishedMinimalSet]
    minimal_set_families: list[PublishedMinimalSetFamily] = Field(
        default=[], description="One per flipped prompt; empty where not looked for."
    )
    doses: list[PublishedDose] = Field(
        default=[], description="One per refused prompt; empty where left out."
    )
    pooled_set: PublishedPooledSet | None = Field(description="null where no prompt was flipped.")
    interactions: PublishedInteractions | None = Field(
        description="Of the pooled set's features; null where no prompt was flipped."
    )
    interactions_by_prompt: list[PublishedInteractions]
    interactions_over_prompts: InteractionsOverPrompts | None = Field(
        description="R2 and recurring pairs with prompts as cases; null where no prompt was fitted."
    )
    cascades: list[PublishedCascade]
    pooled_cascade: PooledCascade | None = Field(
        default=None, description="null where no prompt was flipped, and in older records."
    )
    controls: Controls
    sufficiency: Sufficiency | None = Field(
        default=None,
        description="The features set up on harmless prompts; null in older records.",
    )
    chance_control: ChanceControl | None = Field(
        default=None,
        description="Minimal sets against the same search among random candidates; null where no "
        "search was made.",
    )
    confirmation: Confirmation | None = Field(
        default=None, description="Flips judged in text; null where that was not asked for."
    )
    cost: PublishedCost
