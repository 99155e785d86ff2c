"""What each stage hands over: frozen, typed, free of torch, every number with its meaning.

A finding carries its certificate: the scores that prove it, the number of cases, the interval,
the control. The record stores these objects as they are; the report prints them.
"""

from sae_audit.findings.absence import Absence, AbsenceKind
from sae_audit.findings.behaviour import Behaviour, PromptScore
from sae_audit.findings.candidates import Candidate, CandidateSet, WidenedPool
from sae_audit.findings.cascades import Cascade, EdgeKind, Wake, WakeEdge, WakeEdges, Wave
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
    NearestDirection,
    NoDirection,
)
from sae_audit.findings.doses import DosePoint, FlipDose
from sae_audit.findings.estimates import Controlled, Estimate, RandomRange
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
    PooledCascade,
    PooledEdge,
    PooledWaveFeature,
    TokenShare,
)
from sae_audit.findings.quality import CE_PROMPTS, CE_TOKENS, SaeQuality
from sae_audit.findings.successive import DirectionOut, SuccessiveDirections
from sae_audit.findings.sufficiency import RaisedSet, Sufficiency
from sae_audit.findings.waking import Awake, TokenCounts, Waking, WokenFeature

__all__ = [
    "CE_PROMPTS",
    "CE_TOKENS",
    "Absence",
    "AbsenceKind",
    "Awake",
    "AwakeBesideRandom",
    "Behaviour",
    "Candidate",
    "CandidateSet",
    "Cascade",
    "CertifiedSet",
    "ChanceControl",
    "ClassifierFit",
    "Collateral",
    "Confirmation",
    "Controlled",
    "Controls",
    "DictionaryCoverage",
    "Direction",
    "DirectionCheck",
    "DirectionEvaluation",
    "DirectionOut",
    "DoseControl",
    "DosePoint",
    "EdgeKind",
    "ErrorTermControl",
    "Estimate",
    "ExplainedExactly",
    "Feature",
    "FeatureKey",
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
    "PooledCascade",
    "PooledEdge",
    "PooledSet",
    "PooledWaveFeature",
    "PromptScore",
    "RaisedSet",
    "RandomRange",
    "SaeQuality",
    "SetControl",
    "SolverFit",
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
