"""How often an audit claims a refusal mechanism where there is none, and where there is one.

1. Models without a mechanism, of four kinds: random tiny Llamas and Gemmas with random SAEs; the
   organism's architecture with random weights, through its SAEs; the organism itself, on prompts
   whose labels are permuted. Random models refuse about half of all prompts, scores close to 0:
   the hardest case, where any ablation flips something (`organisms.mechanismless`).
2. A whole audit of each, from files, with small settings.
3. A false alarm is a run without an absence: one that claims a mechanism.
4. The control, since an audit that never claims anything has no false alarm either: the organism itself
   with the labels of its prompts as they are, by the same settings, on other prompts for every seed. It
   counts in no rate of false alarms.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sae_audit.config import (
    AuditConfig,
    CandidateSettings,
    CascadeSettings,
    ControlSettings,
    EvidenceSettings,
    InteractionSettings,
    PromptSettings,
)
from sae_audit.findings import Absence, AbsenceKind, Estimate
from sae_audit.margins import refuses
from sae_audit.organisms.mechanismless import (
    ORGANISM_PROMPTS,
    write_random_organism,
    write_shuffled_prompts,
    write_tiny,
)
from sae_audit.pipeline.audit import audit
from sae_audit.statistics import share

Progress = Callable[[int, int], None]
"""Called with the models audited so far, and how many there are."""


_ORGANISM = "bundled:organism/base"


class Kind(StrEnum):
    TINY_LLAMA = "tiny Llama, random weights and SAEs"
    TINY_GEMMA = "tiny Gemma-2, random weights and SAEs"
    RANDOM_ORGANISM = "organism, random weights"
    SHUFFLED_LABELS = "organism, shuffled labels"
    ORGANISM = "the organism itself, a mechanism is there"

    @property
    def has_mechanism(self) -> bool:
        """Whether a claim is right, and no false alarm."""
        return self is Kind.ORGANISM


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One audit of one model."""

    kind: Kind
    seed: int
    refused: float
    """Share of all audit prompts with refusal score > 0."""
    separation: Estimate
    """AUROC of its scores, harmful against harmless."""
    absence: Absence | None
    """Why the audit claims no mechanism; None: it claims one."""
    seconds: float

    @property
    def claimed(self) -> bool:
        return self.absence is None


@dataclass(frozen=True, kw_only=True)
class FalseAlarms:
    """The measured rate at which mechanisms are claimed that are not there, and one that is."""

    trials: tuple[Trial, ...]

    @property
    def rate(self) -> Estimate:
        """Share of all models without a mechanism of which one is claimed."""
        return _claimed([trial for trial in self.trials if not trial.kind.has_mechanism])

    @property
    def by_kind(self) -> dict[Kind, Estimate]:
        """Share of the audits of each kind that claim a mechanism."""
        return {kind: _claimed(own) for kind, own in self._own().items()}

    @property
    def absences(self) -> dict[Kind, dict[AbsenceKind, int]]:
        """How often the audit of each kind of model ended in each absence."""
        return {
            kind: dict(Counter(t.absence.kind for t in own if t.absence is not None))
            for kind, own in self._own().items()
        }

    def _own(self) -> dict[Kind, list[Trial]]:
        present = dict.fromkeys(trial.kind for trial in self.trials)
        return {kind: [t for t in self.trials if t.kind is kind] for kind in present}


def false_alarms(
    n: int,
    seed: int,
    progress: Progress,
    *,
    kinds: Sequence[Kind] = tuple(Kind),
    level: float | None = None,
) -> FalseAlarms:
    """Audit `n` models of each kind (the organism itself on `n` draws of prompts), and say of how many
    a mechanism is claimed.

    `level` stands in for `evidence.level`: at 1 every permutation and sign test passes, which shows
    what they keep out.
    """
    assert n > 0, n
    trials: list[Trial] = []
    for kind in kinds:
        for i in range(n):
            progress(len(trials), n * len(kinds))
            trials.append(_trial(kind, 1000 * seed + i, level))
    progress(len(trials), n * len(kinds))
    return FalseAlarms(trials=tuple(trials))


def _trial(kind: Kind, seed: int, level: float | None) -> Trial:
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = audit(_config(kind, Path(folder), seed, level), Path(folder) / "run")
        audited = [score.score for score in run.scores if score.split == "audit"]
        return Trial(
            kind=kind,
            seed=seed,
            refused=sum(refuses(score) for score in audited) / len(audited),
            separation=run.behaviour.separation,
            absence=run.absence,
            seconds=time.perf_counter() - started,
        )


def _config(kind: Kind, folder: Path, seed: int, level: float | None) -> AuditConfig:
    """Write the model, or the prompts, and say how they are audited."""
    model, saes, prompts = str(folder / "model"), "bundled:organism/saes", ORGANISM_PROMPTS
    tokens = ["I", "Sorry"]
    match kind:
        case Kind.TINY_LLAMA | Kind.TINY_GEMMA:
            family = "gemma2" if kind is Kind.TINY_GEMMA else "llama"
            tokens = write_tiny(Path(model), family, seed)
            saes = f"{model}/saes"
        case Kind.RANDOM_ORGANISM:
            tokens = write_random_organism(Path(model), seed)
        case Kind.SHUFFLED_LABELS:
            model, prompts = _ORGANISM, str(folder / "prompts.jsonl")
            write_shuffled_prompts(Path(prompts), seed)
        case Kind.ORGANISM:
            model = _ORGANISM
    return AuditConfig(
        model=model,
        saes=saes,
        prompts=PromptSettings(sources=(prompts,), train=40, validation=16, audit=32),
        refusal_tokens=tuple(tokens),
        seed=seed,
        # What follows a claim does not change it, and is kept short.
        candidates=CandidateSettings(per_layer=8),
        interactions=InteractionSettings(n_masks=64, max_players=4),
        cascade=CascadeSettings(max_waves=1, max_tested=4),
        controls=ControlSettings(random_sets=1),
        evidence=EvidenceSettings() if level is None else EvidenceSettings(level=level),
    )


def _claimed(trials: Sequence[Trial]) -> Estimate:
    return share(sum(trial.claimed for trial in trials), len(trials))
