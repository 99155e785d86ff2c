"""The rate at which an audit claims a refusal mechanism, in models without one and in one with one.

1. Models without a mechanism, of four kinds: random tiny Llamas and Gemmas with random SAEs; the
   organism's architecture with random weights, through its SAEs; and the organism on prompts with
   permuted labels. Random models refuse about half of all prompts with scores close to 0, the hardest
   case, in which any ablation flips something (`organisms.mechanismless`).
2. Audit each from files, with small settings.
3. A false alarm is a run without an absence, one that claims a mechanism.
4. Control, since an audit that never claims anything has no false alarms: the organism with true labels,
   by the same settings, on other prompts for every seed. It enters no false-alarm rate.
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
    EvidenceSettings,
    PromptSettings,
)
from sae_audit.findings import Absence, AbsenceKind, Estimate
from sae_audit.findings.stages import ABSENCE, BEHAVIOUR
from sae_audit.margins import refuses
from sae_audit.organisms.mechanismless import (
    ORGANISM_PROMPTS,
    write_random_organism,
    write_shuffled_prompts,
    write_tiny,
)
from sae_audit.pipeline.audit import search_for_sets
from sae_audit.pipeline.running import unpublished
from sae_audit.statistics import share

Progress = Callable[[int, int], None]
"""Receives the number of models audited so far and the number of all."""


_ORGANISM = "bundled:organism/base"


class Kind(StrEnum):
    TINY_LLAMA = "tiny Llama, random weights and SAEs"
    TINY_GEMMA = "tiny Gemma-2, random weights and SAEs"
    RANDOM_ORGANISM = "organism, random weights"
    SHUFFLED_LABELS = "organism, shuffled labels"
    ORGANISM = "the organism itself, a mechanism is there"

    @property
    def has_mechanism(self) -> bool:
        """Whether a claim is correct rather than a false alarm."""
        return self is Kind.ORGANISM


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One audit of one model."""

    kind: Kind
    seed: int
    refused: float
    """Share of audit prompts with refusal score > 0."""
    separation: Estimate
    """AUROC of the scores, harmful against harmless."""
    absence: Absence | None
    """Why the audit claims no mechanism; None if it claims one."""
    seconds: float

    @property
    def claimed(self) -> bool:
        return self.absence is None


@dataclass(frozen=True, kw_only=True)
class FalseAlarms:
    """Rates of claimed mechanisms, in models without one and in one with one."""

    trials: tuple[Trial, ...]

    @property
    def rate(self) -> Estimate:
        """Share of models without a mechanism for which one is claimed."""
        return _claimed([trial for trial in self.trials if not trial.kind.has_mechanism])

    @property
    def by_kind(self) -> dict[Kind, Estimate]:
        """Share of audits that claim a mechanism, by kind."""
        return {kind: _claimed(own) for kind, own in self._own().items()}

    @property
    def absences(self) -> dict[Kind, dict[AbsenceKind, int]]:
        """Number of audits that ended in each absence, by kind."""
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
    """Results of auditing `n` models of each kind (of the organism itself, `n` draws of prompts).

    `level` replaces `evidence.level`: at 1 every permutation and sign test passes, which shows how many
    claims the tests prevent.
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
        config = _config(kind, Path(folder), seed, level)
        # What follows the null of the search adds to a claim and takes none back.
        with unpublished(config, Path(folder) / "run") as state:
            search_for_sets(state)
            audited = [score.score for score in state.scores if score.split == "audit"]
            return Trial(
                kind=kind,
                seed=seed,
                refused=sum(refuses(score) for score in audited) / len(audited),
                separation=state.session.found(BEHAVIOUR).separation,
                absence=state.session.if_found(ABSENCE),
                seconds=time.perf_counter() - started,
            )


def _config(kind: Kind, folder: Path, seed: int, level: float | None) -> AuditConfig:
    """Write the model or the prompts, and return the settings of their audit."""
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
        candidates=CandidateSettings(per_layer=8),
        evidence=EvidenceSettings(null_dictionaries=0)
        if level is None
        else EvidenceSettings(null_dictionaries=0, level=level),
    )


def _claimed(trials: Sequence[Trial]) -> Estimate:
    return share(sum(trial.claimed for trial in trials), len(trials))
