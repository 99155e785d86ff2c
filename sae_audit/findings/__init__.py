"""What each stage hands over: frozen, typed, free of torch, every number with its meaning.

A finding carries its certificate: the scores that prove it, the number of cases, the interval,
the control. The record stores these objects as they are; the report prints them.
"""

from sae_audit.findings.absence import Absence, AbsenceKind
from sae_audit.findings.behaviour import Behaviour, PromptScore
from sae_audit.findings.candidates import Candidate, CandidateSet, WidenedPool
from sae_audit.findings.cascades import (
    Cascade,
    CascadeByChance,
    EdgeKind,
    FirstWaveEffects,
    Wake,
    WakeEdge,
    WakeEdges,
    Wave,
)
from sae_audit.findings.confirmation import Confirmation, TextCheck
from sae_audit.findings.controls import (
    ChanceControl,
    Collateral,
    Controls,
    DoseControl,
    ErrorTermControl,
    SetControl,
)
from sae_audit.findings.coverage import DictionaryCoverage, LayerCoverage
from sae_audit.findings.direction import (
    Direction,
    DirectionCheck,
    DirectionEvaluation,
    DirectionMeasure,
    DirectionSelection,
    NearestDirection,
    NoDirection,
    StoppedDirection,
    StopReason,
)
from sae_audit.findings.doses import DosePoint, FlipDose
from sae_audit.findings.estimates import (
    ALL_ALIKE,
    NO_INTERVAL,
    ONE_CASE,
    Controlled,
    Estimate,
    RandomRange,
)
from sae_audit.findings.features import Feature, FeatureKey
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
    AwakeBesideRandom,
    Depths,
    EdgesOfKind,
    PooledByChance,
    PooledCascade,
    PooledCompensation,
    PooledEdge,
    PooledWaveFeature,
    StandIns,
    TokenShare,
)
from sae_audit.findings.quality import CE_PROMPTS, CE_TOKENS, SaeQuality
from sae_audit.findings.successive import DirectionOut, SuccessiveDirections
from sae_audit.findings.sufficiency import RaisedSet, Sufficiency
from sae_audit.findings.waking import Awake, TokenCounts, Waking, WokenFeature

__all__ = [
    "ALL_ALIKE",
    "CE_PROMPTS",
    "CE_TOKENS",
    "NO_INTERVAL",
    "ONE_CASE",
    "Absence",
    "AbsenceKind",
    "Awake",
    "AwakeBesideRandom",
    "Behaviour",
    "Candidate",
    "CandidateSet",
    "Cascade",
    "CascadeByChance",
    "CertifiedSet",
    "ChanceControl",
    "ClassifierFit",
    "Collateral",
    "Confirmation",
    "Controlled",
    "Controls",
    "Depths",
    "DictionaryCoverage",
    "Direction",
    "DirectionCheck",
    "DirectionEvaluation",
    "DirectionMeasure",
    "DirectionOut",
    "DirectionSelection",
    "DoseControl",
    "DosePoint",
    "EdgeKind",
    "EdgesOfKind",
    "ErrorTermControl",
    "Estimate",
    "ExplainedExactly",
    "Feature",
    "FeatureKey",
    "FirstWaveEffects",
    "FitOverPrompts",
    "FlipDose",
    "HeldOutR2",
    "InteractionGraph",
    "InteractionsOverPrompts",
    "LayerCoverage",
    "MinimalSet",
    "MinimalSetFamily",
    "NearestDirection",
    "NoDirection",
    "PairInteraction",
    "PairKind",
    "PairOverPrompts",
    "PooledByChance",
    "PooledCascade",
    "PooledCompensation",
    "PooledEdge",
    "PooledSet",
    "PooledWaveFeature",
    "PromptScore",
    "RaisedSet",
    "RandomRange",
    "SaeQuality",
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
    "Wake",
    "WakeEdge",
    "WakeEdges",
    "Waking",
    "Wave",
    "WidenedPool",
    "WokenFeature",
]
