"""The models of the bench: planted circuits, opened as an audit opens a checkpoint."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.organisms.planted.families import FAMILIES, build
from sae_audit.organisms.planted.plant import Planted, audit_settings, plant
from sae_audit.organisms.planted.truth import CategoryTruth
from sae_audit.organisms.planted.weights import ARCHITECTURES
from sae_audit.pipeline.running import unpublished
from sae_audit.pipeline.stages import candidates, direction, scores, widening
from sae_audit.pipeline.state import AuditState
from sae_audit.prompts.types import Prompt


@dataclass(frozen=True, kw_only=True)
class Case:
    """One planted model of the bench."""

    family: str
    size: int
    seed: int
    architecture: str

    def __str__(self) -> str:
        return f"{self.family}-{self.size} seed {self.seed} {self.architecture}"


def cases(families: Sequence[str], *, n_seeds: int, quick: bool) -> list[Case]:
    """Every size and seed of these families, alternating architectures; if `quick`, each one's smallest.

    Raises:
        AuditError: a family does not exist.
    """
    unknown = sorted(set(families) - FAMILIES.keys())
    if unknown:
        raise AuditError(f"No planted family {unknown[0]!r}; there are {', '.join(FAMILIES)}.")
    found: list[Case] = []
    for family in families or FAMILIES:
        sizes = FAMILIES[family].sizes[:1] if quick else FAMILIES[family].sizes
        for size in sizes:
            for seed in range(1 if quick else n_seeds):
                architecture = ARCHITECTURES[len(found) % len(ARCHITECTURES)]
                found.append(Case(family=family, size=size, seed=seed, architecture=architecture))
    return found


@dataclass(frozen=True, kw_only=True)
class PlantedAudit:
    """One planted model audited up to its candidates, the start of every method."""

    case: Case
    planted: Planted
    state: AuditState

    def truth(self, prompt: Prompt) -> CategoryTruth:
        """The ground truth of a harmful prompt."""
        return self.planted.truth.by_category[prompt.category]


@contextmanager
def planted_audit(case: Case, *, n_prompts: int, **changes: Any) -> Iterator[PlantedAudit]:
    """A case planted in a temporary folder and audited up to its candidates; `changes` are settings that
    are not the default."""
    with TemporaryDirectory() as folder:
        circuit = build(case.family, case.size, case.seed)
        planted = plant(circuit, Path(folder) / "planted", architecture=case.architecture)
        config = _config(planted, n_prompts, changes)
        with unpublished(config, Path(folder) / "run") as state:
            for stage in (scores, direction, candidates, widening):
                stage.run(state)
            yield PlantedAudit(case=case, planted=planted, state=state)


def _config(planted: Planted, n_prompts: int, changes: Mapping[str, Any]) -> AuditConfig:
    settings = {**audit_settings(planted), **changes}
    settings["prompts"] = {**settings["prompts"], "audit": n_prompts}
    return AuditConfig(**settings)


BenchProgress = Callable[[str, int, int], None]
"""Receives the task, the number done and the number of all."""
