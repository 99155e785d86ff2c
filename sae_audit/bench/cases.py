"""The models of the bench: which circuits, planted where, opened as an audit opens a checkpoint."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError
from sae_audit.findings import CandidateSet, Direction
from sae_audit.organisms.planted.families import FAMILIES, build
from sae_audit.organisms.planted.plant import Planted, audit_settings, plant
from sae_audit.organisms.planted.truth import CategoryTruth
from sae_audit.organisms.planted.weights import ARCHITECTURES
from sae_audit.pipeline import opening, stages
from sae_audit.pipeline.session import Session, silent
from sae_audit.pipeline.stages import Pools
from sae_audit.pipeline.widening import widen_pools
from sae_audit.prompts.types import LabelledPrompts, Prompt
from sae_audit.record import folder as folders
from sae_audit.record.identity import RunIdentity


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
    """Every size and seed of these families; architectures take turns. `quick`: one of each family,
    its smallest.

    Raises:
        AuditError: no such family.
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
class Bed:
    """One planted model under audit, up to its direction: what every method starts from."""

    case: Case
    planted: Planted
    session: Session
    train: LabelledPrompts
    audit: LabelledPrompts
    direction: Direction
    candidates: CandidateSet
    """By the audit's own default."""
    pools: Pools
    """Each refused audit prompt's candidates, widened where they do not flip it."""

    def truth(self, prompt: Prompt) -> CategoryTruth:
        """What is true of a harmful prompt."""
        return self.planted.truth.by_category[prompt.category]


@contextmanager
def opened(case: Case, *, n_prompts: int) -> Iterator[Bed]:
    """Plant a case in a folder that goes away again, and audit it up to its candidates."""
    with TemporaryDirectory() as folder:
        circuit = build(case.family, case.size, case.seed)
        planted = plant(circuit, Path(folder) / "planted", architecture=case.architecture)
        config = _config(planted, n_prompts)
        opened = opening.opened(config)
        scores = opening.classified(opened.subject, opened.splits)
        train, validation, audited = (
            opening.as_labelled(prompts, scores) for prompts in opened.splits.named().values()
        )
        run = Path(folder) / "run"
        store = folders.begin(run, config, RunIdentity(parts={"case": str(case)}), "")
        try:
            session = Session(
                subject=opened.subject,
                config=opened.config,
                store=store,
                folder=run,
                progress=silent,
                ablation=opening.ablation(config, opened.subject, train.harmless),
            )
            direction = stages.find_direction(session, train, validation)
            assert isinstance(direction, Direction), f"{case}: {direction.nearest.reason}"
            candidates = stages.gather_candidates(session, direction, train)
            yield Bed(
                case=case,
                planted=planted,
                session=session,
                train=train,
                audit=audited,
                direction=direction,
                candidates=candidates,
                pools=widen_pools(session, audited.harmful, candidates),
            )
        finally:
            store.close()


def _config(planted: Planted, n_prompts: int) -> AuditConfig:
    settings = audit_settings(planted)
    settings["prompts"] = {**settings["prompts"], "audit": n_prompts}
    return AuditConfig(**settings)


Told = Callable[[str, int, int], None]
"""Progress: what is being done, how many are done, of how many."""
