"""Ways to sort a minimal set into waves: ours, and ablating everything that fires, once."""

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
    """Ablate what fires, once; all that then fires is one second wave, all else is not seen."""
    features: FeatureSet = frozenset(minimal.features)
    active = audit.state.subject.active(prompt, audit.state.ablation)
    first = features & active([frozenset()])[0].keys()
    second = (features - first) & active([first])[0].keys()
    return WaveAnswer(waves=[one for one in (first, second) if one], n_sets_scored=2)


METHODS: dict[str, CascadeMethod] = {"ours": followed, "ablate everything once": ablated_once}


def true_waves(audit: PlantedAudit, prompt: Prompt, minimal: MinimalSet) -> Waves | None:
    """The waves of the minimal set that was found, or None where it is not one of the true ones."""
    truth = audit.truth(prompt)
    found = frozenset(minimal.features)
    for one, waves in zip(truth.minimal_sets, truth.waves, strict=True):
        if frozenset(one) == found:
            return waves
    return None
