"""`findings.json`, version 2: the findings in the form that other programs read.

Each finding has the fields of its type, by the same names, and the properties marked as computed. A
feature is `[layer, index]`, or `L16/25312` as a key.
"""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from sae_audit.errors import AuditError
from sae_audit.findings import (
    Absence,
    ActivationEdges,
    ActivationTokens,
    Behaviour,
    CandidateEffects,
    CandidateSet,
    Cascade,
    CascadeNull,
    CategoryFindings,
    Claim,
    CoactivationFm,
    Confirmation,
    Controls,
    DictionaryNull,
    Direction,
    DirectionCheck,
    FeatureProfiles,
    FilterCurve,
    FlipScale,
    InteractionGraph,
    InteractionsOverPrompts,
    LayerPatching,
    MinimalSet,
    MinimalSetFamily,
    NoDirection,
    NullDictionary,
    NullScores,
    PooledCascade,
    PooledSet,
    PromptScore,
    Restoration,
    SaeCoverage,
    SaeQuality,
    SearchNull,
    SetEffects,
    SuccessiveDirections,
    Sufficiency,
    TextSet,
    TooFewCategories,
    WidenedPool,
)
from sae_audit.record.facts import SaeFacts
from sae_audit.record.payloads import validated
from sae_audit.record.reading import own_file
from sae_audit.untrusted import read_json, shown

VERSION = 2
_LARGEST = 1 << 30
"""Bytes of the largest file that is read: the organism's has 2 MB."""


class AuditedModel(BaseModel):
    """The model, by facts that do not depend on the machine; the rest is in `manifest.json`."""

    model_config = ConfigDict(frozen=True)

    id: str
    revision: str
    """Commit of the hub repository; empty for a local folder."""
    sha256: str
    """Hash of the weight files, names included."""
    n_layers: int
    d_model: int


class AuditedPrompts(BaseModel):
    """Numbers of audit prompts by label, and of those that the clean model refuses (score above 0)."""

    model_config = ConfigDict(frozen=True)

    harmful: int
    harmless: int
    refused_harmful: int
    refused_harmless: int
    safe_lookalikes: int = 0
    """Harmless requests in alarming words, counted apart; 0 if the sources held none."""
    refused_lookalikes: int = 0


class Cost(BaseModel):
    """Model work of the audit. Time and memory differ between runs and are in `manifest.json`."""

    model_config = ConfigDict(frozen=True)

    forward_passes: int
    tokens: int


class Findings(BaseModel):
    """The findings of one audit.

    If there is nothing to list, lists are empty and all else is null: `absence` says why.
    """

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[2] = VERSION
    model: AuditedModel
    saes: list[SaeFacts]
    sae_quality: list[SaeQuality]
    """One for each of `saes`."""
    prompts: AuditedPrompts
    scores: list[PromptScore]
    """Of all prompts of all splits."""
    behaviour: Behaviour
    claims: list[Claim]
    """What the audit claims and what it does not, with the numbers that decide."""
    absence: Absence | None
    """What is absent (refusal, its tie to harm, evidence of features); null if nothing is."""
    direction: Direction | None
    direction_check: DirectionCheck | None
    layer_patching: LayerPatching | None
    discarded_directions: NoDirection | None
    """The candidate directions, if all of them are zero or not finite; else null."""
    successive_directions: SuccessiveDirections | None
    categories: CategoryFindings | TooFewCategories | None = None
    """Null unless a taxonomy was given; not in files of versions that had no such stage."""
    sae_coverage: SaeCoverage | None
    candidates: CandidateSet | None
    widened_pools: list[WidenedPool]
    """One per refused prompt."""
    candidate_effects: CandidateEffects | None
    """When candidates fire, and what ablating each alone changes on harmless prompts."""
    minimal_sets: list[MinimalSet]
    """One per refused prompt, within the side-effect limits."""
    unlimited_sets: list[MinimalSet]
    """The same search without limits, for the same prompts."""
    set_effects: list[SetEffects] | None
    """Side effects of the different sets among `unlimited_sets`."""
    minimal_set_families: list[MinimalSetFamily]
    """One per flipped prompt; empty if not looked for."""
    flip_scales: list[FlipScale]
    """One per refused prompt; empty if left out."""
    null_sets: list[NullScores]
    """One per refused prompt: its scores with each random pool ablated."""
    search_null: SearchNull | None
    """Comparison of the candidates with the random pools of `null_sets`."""
    own_flips_in_text: list[TextSet] | None
    """Flips, in text, of the prompts searched with null dictionaries; null unless text is confirmed."""
    null_dictionaries: list[NullDictionary]
    """The same search with each null dictionary."""
    dictionary_null: DictionaryNull | None
    """Comparison of `minimal_sets` and `null_dictionaries`; null if none was searched."""
    pooled_set: PooledSet | None
    filter_curve: FilterCurve | None
    """Null unless `minimal.search` is greedy."""
    coactivation_fm: CoactivationFm | None
    """Null unless `coactivation.enabled`."""
    interactions: InteractionGraph | None
    """Of the pooled set's features, on the mean score of several prompts."""
    interactions_by_prompt: list[InteractionGraph]
    """Of each flipped prompt's own features."""
    interactions_over_prompts: InteractionsOverPrompts | None
    cascades: list[Cascade]
    """One per flipped prompt, as are the next three."""
    cascade_nulls: list[CascadeNull]
    edges: list[ActivationEdges]
    activation_tokens: list[ActivationTokens]
    restorations: list[Restoration]
    """What dormant features restore, one per cascade."""
    pooled_cascade: PooledCascade | None
    controls: Controls
    sufficiency: Sufficiency | None
    text_sets: list[TextSet]
    """One per prompt flipped by score; empty unless `minimal.certify` is text."""
    confirmation: Confirmation | None
    """Null if flips were not confirmed in text."""
    feature_profiles: FeatureProfiles | None
    """The features that findings name, one by one; null if there is none, or `features.most` is 0."""
    cost: Cost


def read_findings(path: Path) -> Findings:
    """The findings in a file, which may come from anyone.

    Raises:
        AuditError: it is of another version, or not what an audit writes.
    """
    found = read_json(own_file(path), limit=_LARGEST)
    version = found.get("schema_version") if isinstance(found, dict) else None
    if version != VERSION:
        raise AuditError(
            f"{shown(path)} is of version {shown(version)} of the findings, and this sae-audit reads "
            f"version {VERSION}; audit again, or read it with the sae-audit that wrote it."
        )
    return validated(found, Findings, shown(path))


def schema() -> str:
    """The JSON Schema of the file, as in docs/findings.schema.json."""

    # Reading field docstrings from the source takes .2 s, which opening a record should not.
    class Described(Findings):
        model_config = ConfigDict(
            title="Findings",
            use_attribute_docstrings=True,
            json_schema_serialization_defaults_required=True,
        )

    Described.__doc__ = Findings.__doc__
    return json.dumps(Described.model_json_schema(mode="serialization"), indent=1)
