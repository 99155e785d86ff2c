"""Methods that sort a minimal set into waves: the audit's, and ablating everything that fires once."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from sae_audit.bench.cases import PlantedAudit
from sae_audit.findings import MinimalSet
from sae_audit.pipeline.stages.cascades import follow
from sae_audit.prompts.types import Prompt
from sae_audit.vocabulary import FeatureId, FeatureSet

Waves = Sequence[Collection[FeatureId]]


@dataclass(frozen=True, kw_only=True)
class WaveAnswer:
    waves: Waves
    n_sets_scored: int


CascadeMethod = Callable[[PlantedAudit, Prompt, MinimalSet], WaveAnswer]


def followed(audit: PlantedAudit, prompt: Prompt, minimal: MinimalSet) -> WaveAnswer:
    """The audit's own cascade."""
    cascade = follow(audit.state, prompt, frozenset(minimal.features))
    return WaveAnswer(
        waves=[wave.features for wave in cascade.waves], n_sets_scored=cascade.n_sets_scored
    )


def ablated_once(audit: PlantedAudit, prompt: Prompt, minimal: MinimalSet) -> WaveAnswer:
    """Two waves: the features that fire, ablated once, and all features that then fire."""
    features: FeatureSet = frozenset(minimal.features)
    active = audit.state.subject.active(prompt, audit.state.ablation)
    first = features & active([frozenset()])[0].keys()
    second = (features - first) & active([first])[0].keys()
    return WaveAnswer(waves=[one for one in (first, second) if one], n_sets_scored=2)


METHODS: dict[str, CascadeMethod] = {"ours": followed, "ablate everything once": ablated_once}


def true_waves(audit: PlantedAudit, prompt: Prompt, minimal: MinimalSet) -> Waves | None:
    """The waves of the found minimal set; None if it is not a true one."""
    truth = audit.truth(prompt)
    found = frozenset(minimal.features)
    for one, waves in zip(truth.minimal_sets, truth.waves, strict=True):
        if frozenset(one) == found:
            return waves
    return None
