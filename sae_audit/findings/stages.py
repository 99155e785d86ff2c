"""The stages of an audit, each declared once: its name, its label on the screen, the finding it leaves
in the record, and whether it has one row per run or per prompt.

Code that runs a stage (`pipeline`), records and reads it (`record`), shows its progress (`cli`) or its
price (`planning`) names the declaration, never the string.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, Generic, TypeVar

from sae_audit.findings.absence import Absence
from sae_audit.findings.activation_tokens import ActivationTokens
from sae_audit.findings.behaviour import Behaviour, PromptScore
from sae_audit.findings.candidate_effects import CandidateEffects
from sae_audit.findings.candidates import CandidateSet, WidenedPool
from sae_audit.findings.cascades import ActivationEdges, Cascade, CascadeNull
from sae_audit.findings.categories import CategoryFindings, TooFewCategories
from sae_audit.findings.claims import Claim
from sae_audit.findings.confirmation import Confirmation
from sae_audit.findings.controls import Controls, NullScores, SearchNull
from sae_audit.findings.coverage import SaeCoverage
from sae_audit.findings.dictionary_null import DictionaryNull, NullDictionary
from sae_audit.findings.direction import Direction, DirectionCheck, NoDirection
from sae_audit.findings.feature_profiles import FeatureProfiles
from sae_audit.findings.filtering import CoactivationFm, FilterCurve
from sae_audit.findings.flip_scales import FlipScale
from sae_audit.findings.interactions import InteractionGraph, InteractionsOverPrompts
from sae_audit.findings.layer_patching import LayerPatching
from sae_audit.findings.minimal_sets import MinimalSet, MinimalSetFamily, PooledSet
from sae_audit.findings.pooled_cascade import PooledCascade
from sae_audit.findings.quality import SaeQuality
from sae_audit.findings.restoration import Restoration
from sae_audit.findings.side_effects import SetEffects
from sae_audit.findings.successive import SuccessiveDirections
from sae_audit.findings.sufficiency import Sufficiency
from sae_audit.findings.text_sets import TextSet

T_co = TypeVar("T_co", covariant=True)

MEANS, MEANS_BY_GROUP = "means", "means_by_group"
"""Names of tensor files that every audit leaves, with or without a direction."""
RANDOM_DIRECTIONS, UNITS_OUT = "random_directions", "successive_directions"
"""Names of tensor files of single stages: random directions; successive directions."""
TENSOR_FILES = (MEANS, MEANS_BY_GROUP, RANDOM_DIRECTIONS, UNITS_OUT)

POOLED = "pooled"
"""Row key of a finding over several prompts at once."""


@dataclass(frozen=True, eq=False)
class Step:
    """A part of an audit that reports its progress."""

    name: str
    label: str
    """Name shown on the screen."""


@dataclass(frozen=True, eq=False)
class Stage(Step, Generic[T_co]):
    """A step that leaves a finding."""

    kinds: tuple[Callable[..., T_co], ...]
    """Types that a row may have: classes, or `list[X]`, which is no `type`."""

    @property
    def kind(self) -> Any:
        """The kinds as one type, to parse a row."""
        kinds: tuple[Any, ...] = self.kinds
        return reduce(or_, kinds)


@dataclass(frozen=True, eq=False)
class OfRun(Stage[T_co]):
    """A stage with one row per run."""

    key: str = "all"
    tensors: str | None = None
    """Name of the tensor file that it writes; None if it writes none."""


@dataclass(frozen=True, eq=False)
class OfMany(Stage[T_co]):
    """A stage with many rows."""


@dataclass(frozen=True, eq=False)
class OfPrompts(OfMany[T_co]):
    """A stage with one row per prompt, which names its prompt."""


@dataclass(frozen=True, eq=False)
class OfDictionaries(OfMany[T_co]):
    """A stage with one row per null dictionary, which names its kind and number."""


LOADING = Step("loading", "Loading model, SAEs and prompts")
REPORT = Step("report", "Report")

SCORES = OfRun("scores", "Clean scores of all prompts", (list[PromptScore],))
BEHAVIOUR = OfRun("behaviour", "How often it refuses", (Behaviour,))
ABSENCE = OfRun("absence", "What is absent", (Absence,))
"""Recorded only if the audit ends early, or if its features are no evidence."""
DIRECTION = OfRun("direction", "Refusal direction", (Direction, NoDirection), key="selected")
DIRECTION_CHECK = OfRun(
    "direction_check",
    "The direction, tried again",
    (DirectionCheck,),
    key="selected",
    tensors=RANDOM_DIRECTIONS,
)
LAYER_PATCHING = OfRun("layer_patching", "Where it reaches the end of the prompt", (LayerPatching,))
SUCCESSIVE_DIRECTIONS = OfRun(
    "successive_directions",
    "Directions behind it",
    (SuccessiveDirections,),
    tensors=UNITS_OUT,
)
CATEGORIES = OfRun(
    "categories", "Categories of refused requests", (CategoryFindings, TooFewCategories)
)
"""Not recorded unless a taxonomy is given."""
SAE_QUALITY = OfRun("sae_quality", "How well the SAEs describe it", (list[SaeQuality],))
CANDIDATES = OfRun("candidates", "Candidate features", (CandidateSet,))
WIDENING = OfPrompts("widening", "Wider pools where needed", (WidenedPool,))
CANDIDATE_EFFECTS = OfRun(
    "candidate_effects", "What candidates change on harmless prompts", (CandidateEffects,)
)
UNLIMITED_SETS = OfPrompts("unlimited_sets", "Minimal sets, prompt by prompt", (MinimalSet,))
SET_EFFECTS = OfRun("set_effects", "What these change on harmless prompts", (list[SetEffects],))
MINIMAL_SETS = OfPrompts("minimal_sets", "Minimal sets within the limits", (MinimalSet,))
NULL_SEARCH = OfPrompts("null_search", "Random pools in the candidates' place", (NullScores,))
SEARCH_NULL = OfRun("search_null", "Candidates against random pools", (SearchNull,))
OWN_FLIPS_IN_TEXT = OfRun(
    "own_flips_in_text", "Own flips in text, beside null dictionaries", (list[TextSet],)
)
NULL_DICTIONARIES = OfDictionaries(
    "null_dictionaries", "The same search with null dictionaries", (NullDictionary,)
)
DICTIONARY_NULL = OfRun("dictionary_null", "The SAEs against null dictionaries", (DictionaryNull,))
SAE_COVERAGE = OfRun("sae_coverage", "What the SAEs do not show", (SaeCoverage,))
MINIMAL_SET_FAMILIES = OfPrompts("minimal_set_families", "Other minimal sets", (MinimalSetFamily,))
FLIP_SCALES = OfPrompts("flip_scales", "Smallest scales that flip", (FlipScale,))
POOLED_SET = OfRun("pooled_set", "One set for many prompts", (PooledSet,), key=POOLED)
FILTER_CURVE = OfRun(
    "filter_curve", "Flips by size of the filtered set", (FilterCurve,), key=POOLED
)
COACTIVATION_FM = OfRun(
    "coactivation_fm", "Features added by co-activation", (CoactivationFm,), key=POOLED
)
INTERACTIONS = OfPrompts("interactions", "Interactions, prompt by prompt", (InteractionGraph,))
"""Rows name their scope: a prompt, or `POOLED`."""
INTERACTIONS_OVER_PROMPTS = OfRun(
    "interactions_over_prompts", "Interactions over prompts", (InteractionsOverPrompts,)
)
CASCADES = OfPrompts("cascades", "Cascades of dormant features", (Cascade,))
CASCADE_NULLS = OfPrompts("cascade_nulls", "Cascades behind random sets", (CascadeNull,))
EDGES = OfPrompts("edges", "Which activates which", (ActivationEdges,))
ACTIVATION_TOKENS = OfPrompts("activation_tokens", "Tokens they activate on", (ActivationTokens,))
RESTORATIONS = OfPrompts("restorations", "Whether they restore refusal", (Restoration,))
POOLED_CASCADE = OfRun("pooled_cascade", "Cascades of all prompts", (PooledCascade,), key=POOLED)
CONTROLS = OfRun("controls", "Controls", (Controls,))
SUFFICIENCY = OfRun("sufficiency", "The same features set up", (Sufficiency,))
TEXT_SETS = OfPrompts("text_sets", "Minimal sets by text", (TextSet,))
CONFIRMATION = OfRun("confirmation", "Answers in text", (Confirmation,))
FEATURE_PROFILES = OfRun("feature_profiles", "Features one by one", (FeatureProfiles,))
"""Not recorded if no finding names a feature, or `features.most` is 0."""
CLAIMS = OfRun("claims", "What stands", (list[Claim],))

STAGES: tuple[Stage[Any], ...] = tuple(
    one for one in list(globals().values()) if isinstance(one, Stage)
)
"""All stages, in the order above, in which a plan lists them."""
STAGE_OF: dict[str, Stage[Any]] = {stage.name: stage for stage in STAGES}
"""Stages by name."""


def tensors_of(names: Iterable[str]) -> set[str]:
    """Names of the tensor files of a finished run that has recorded the stages of these names."""
    stages = [STAGE_OF[name] for name in names]
    own = {one.tensors for one in stages if isinstance(one, OfRun) and one.tensors is not None}
    return own | {MEANS, MEANS_BY_GROUP}
