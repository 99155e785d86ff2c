"""What each stage hands over: frozen, typed, free of torch, every number with its meaning.

A finding carries its certificate: the scores that prove it, the number of cases, the interval,
the control. The record stores these objects as they are; the report prints them.
"""

from sae_audit.findings.absence import Absence, AbsenceKind
from sae_audit.findings.activation_tokens import (
    ActivatedFeatures,
    ActivationTokens,
    BackupPositions,
    TokenCounts,
)
from sae_audit.findings.behaviour import Behaviour, PromptScore
from sae_audit.findings.candidates import Candidate, CandidateSet, WidenedPool
from sae_audit.findings.cascades import (
    BackupEdge,
    BackupEdges,
    BackupFeature,
    Cascade,
    CascadeNull,
    EdgeKind,
    FirstWaveEffects,
    Wave,
)
from sae_audit.findings.confirmation import Confirmation, TextCheck
from sae_audit.findings.controls import (
    Collateral,
    Controls,
    ErrorTermControl,
    ScaleControl,
    SearchNull,
    SetControl,
)
from sae_audit.findings.coverage import LayerCoverage, SaeCoverage
from sae_audit.findings.direction import (
    Direction,
    DirectionCheck,
    DirectionEvaluation,
    DirectionMeasure,
    DirectionSelection,
    NoDirection,
    StoppedDirection,
    StopReason,
)
from sae_audit.findings.estimates import (
    ALL_ALIKE,
    NO_INTERVAL,
    ONE_CASE,
    Controlled,
    Estimate,
    RandomRange,
)
from sae_audit.findings.features import Feature, FeatureKey
from sae_audit.findings.flip_scales import FlipScale, ScalePoint
from sae_audit.findings.interactions import (
    ClassifierFit,
    ExplainedExactly,
    FitOverPrompts,
    HeldOutR2,
    InteractionGraph,
    InteractionsOverPrompts,
    PairInteraction,
    PairKind,
    PairOverPrompts,
    SolverFit,
    TripleInteraction,
)
from sae_audit.findings.minimal_sets import CertifiedSet, MinimalSet, MinimalSetFamily, PooledSet
from sae_audit.findings.pooled_cascade import (
    ActivatedAgainstRandom,
    Depths,
    EdgesOfKind,
    PooledCascade,
    PooledCompensation,
    PooledEdge,
    PooledNull,
    PooledWaveFeature,
    StandIns,
    TokenShare,
)
from sae_audit.findings.quality import CE_PROMPTS, CE_TOKENS, SaeQuality
from sae_audit.findings.successive import DirectionOut, SuccessiveDirections
from sae_audit.findings.sufficiency import RaisedSet, Sufficiency

__all__ = [
    "ALL_ALIKE",
    "CE_PROMPTS",
    "CE_TOKENS",
    "NO_INTERVAL",
    "ONE_CASE",
    "Absence",
    "AbsenceKind",
    "ActivatedAgainstRandom",
    "ActivatedFeatures",
    "ActivationTokens",
    "BackupEdge",
    "BackupEdges",
    "BackupFeature",
    "BackupPositions",
    "Behaviour",
    "Candidate",
    "CandidateSet",
    "Cascade",
    "CascadeNull",
    "CertifiedSet",
    "ClassifierFit",
    "Collateral",
    "Confirmation",
    "Controlled",
    "Controls",
    "Depths",
    "Direction",
    "DirectionCheck",
    "DirectionEvaluation",
    "DirectionMeasure",
    "DirectionOut",
    "DirectionSelection",
    "EdgeKind",
    "EdgesOfKind",
    "ErrorTermControl",
    "Estimate",
    "ExplainedExactly",
    "Feature",
    "FeatureKey",
    "FirstWaveEffects",
    "FitOverPrompts",
    "FlipScale",
    "HeldOutR2",
    "InteractionGraph",
    "InteractionsOverPrompts",
    "LayerCoverage",
    "MinimalSet",
    "MinimalSetFamily",
    "NoDirection",
    "PairInteraction",
    "PairKind",
    "PairOverPrompts",
    "PooledCascade",
    "PooledCompensation",
    "PooledEdge",
    "PooledNull",
    "PooledSet",
    "PooledWaveFeature",
    "PromptScore",
    "RaisedSet",
    "RandomRange",
    "SaeCoverage",
    "SaeQuality",
    "ScaleControl",
    "ScalePoint",
    "SearchNull",
    "SetControl",
    "SolverFit",
    "StandIns",
    "StopReason",
    "StoppedDirection",
    "SuccessiveDirections",
    "Sufficiency",
    "TextCheck",
    "TokenCounts",
    "TokenShare",
    "TripleInteraction",
    "Wave",
    "WidenedPool",
]
