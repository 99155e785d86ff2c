"""How often a true claim stands, by the strength of what is planted and the number of prompts.

Of pairs and backups the strength is the share of prompts that have them; of features the number of kinds
of harm, each with a unit of its own, so that the one direction of all holds less and less of each; of
directions behind the first what the second restores; of harm how often labels and refusal agree; of a
lost refusal the share of prompts that lose it. An audit of more prompts is one of a model with the same
mechanism and more words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from sae_audit.bench.cases import BenchProgress
from sae_audit.bench.hostile import LOST, VALIDATION, audited, checkpoints, lost_refusal, of_kinds
from sae_audit.bench.results import PowerRow
from sae_audit.bench.stored import Stored
from sae_audit.findings import ClaimAbout, PromptScore
from sae_audit.organisms.planted import hostile as planted
from sae_audit.organisms.planted.circuit import Circuit
from sae_audit.organisms.planted.hostile import OTHERS, SOME, Request
from sae_audit.statistics import share

N_PROMPTS = (20, 40, 100)
"""Audited prompts of a label."""
_STRENGTHS: Mapping[str, tuple[tuple[float, str], ...]] = {
    ClaimAbout.FEATURES: (
        (2, "own SAEs, a unit for each of 2 kinds of harm"),
        (3, "own SAEs, a unit for each of 3 kinds of harm"),
        (4, "own SAEs, a unit for each of 4 kinds of harm"),
    ),
    ClaimAbout.PAIRS: (
        (0.1, "two redundant pairs of 3 nats in 10% of prompts"),
        (0.25, "two redundant pairs of 3 nats in 25% of prompts"),
        (0.5, "two redundant pairs of 3 nats in 50% of prompts"),
    ),
    ClaimAbout.BACKUPS: (
        (0.1, "a backup that restores 6 nats in 10% of prompts"),
        (0.25, "a backup that restores 6 nats in 25% of prompts"),
        (0.5, "a backup that restores 6 nats in 50% of prompts"),
    ),
    ClaimAbout.DIRECTIONS_BEHIND: (
        (2, "a backup that restores 2 nats in all prompts"),
        (4, "a backup that restores 4 nats in all prompts"),
        (6, "a backup that restores 6 nats in all prompts"),
    ),
    ClaimAbout.HARM: (
        (0.6, "labels agree with refusal on 60% of prompts"),
        (0.7, "labels agree with refusal on 70% of prompts"),
        (0.8, "labels agree with refusal on 80% of prompts"),
    ),
    LOST: (
        (0.1, "10% of prompts lose refusal"),
        (0.2, "20% of prompts lose refusal"),
        (0.4, "40% of prompts lose refusal"),
    ),
}
_N_TRAIN = 12


@dataclass(frozen=True, kw_only=True)
class Powered:
    """Whether a true claim of one model stands, by the number of prompts."""

    claim: str
    mechanism: str
    seed: int
    stands: Mapping[int, bool]
    """By the number of audited prompts of a label."""


def power_rows(n: int, folder: Path, progress: BenchProgress) -> tuple[PowerRow, ...]:
    """How often each true claim stands on `n` models of each strength, by the number of prompts.

    Finished models are kept in `folder`.
    """
    stored, found = Stored[Powered](folder, Powered), list[Powered]()
    asked = [
        (claim, strength, mechanism, seed)
        for seed in range(n)
        for claim, strengths in _STRENGTHS.items()
        for strength, mechanism in strengths
    ]
    for done, (claim, strength, mechanism, seed) in enumerate(asked):
        progress(f"power: {claim}", done, len(asked))

        def compute(
            claim: str = claim,
            strength: float = strength,
            mechanism: str = mechanism,
            seed: int = seed,
        ) -> Powered:
            stands = powered(claim, strength, seed)
            return Powered(claim=claim, mechanism=mechanism, seed=seed, stands=stands)

        found.append(stored.kept(f"{claim}-{strength:g}-{seed}", compute))
    progress("power", len(asked), len(asked))
    return powers_of(found)


def powered(
    claim: str, strength: float, seed: int, n_prompts: Sequence[int] = N_PROMPTS
) -> dict[int, bool]:
    """Whether the claim stands on the model of this strength and seed, by the number of prompts."""
    with TemporaryDirectory() as folder:
        if claim == LOST:
            return _of_loss(strength, seed, Path(folder), n_prompts)
        return {n: _stands(claim, strength, seed, n, Path(folder) / str(n)) for n in n_prompts}


def _of_loss(lost: float, seed: int, folder: Path, n_prompts: Sequence[int]) -> dict[int, bool]:
    """The same pair of checkpoints, with fewer of its prompts."""
    a, b = checkpoints(seed, folder, n=max(n_prompts), lost=lost)
    return {n: lost_refusal(_first(a, n), _first(b, n))[0] for n in n_prompts}


def _first(scored: Sequence[PromptScore], n: int) -> list[PromptScore]:
    """The first `n` audited prompts of each label."""
    audit = [one for one in scored if one.split == "audit"]
    return [
        one
        for label in ("harmful", "harmless")
        for one in [each for each in audit if each.label == label][:n]
    ]


def _stands(claim: str, strength: float, seed: int, n: int, folder: Path) -> bool:
    circuit, asked = _planted(claim, strength, seed, n + _N_TRAIN + VALIDATION)
    folder.mkdir()
    # Null dictionaries are searched on as many prompts as are audited, else more would change nothing.
    searched = {"evidence": {"null_dictionaries": 9, "null_prompts": n}}
    found = audited(circuit, asked, (claim,), folder, n=n, n_train=_N_TRAIN, settings=searched)
    return found[claim][0]


def _planted(
    claim: str, strength: float, seed: int, n_each: int
) -> tuple[Circuit, Sequence[Request]]:
    asked, draw = planted.requests(seed, n_each), np.random.default_rng([seed, 5])
    match claim:
        case ClaimAbout.FEATURES:
            n_kinds = int(strength)
            return planted.by_kind(seed, n=n_kinds), of_kinds(asked, n_kinds)
        case ClaimAbout.PAIRS:
            return planted.pairs_of_some(seed), _of_some(asked, strength, draw)
        case ClaimAbout.BACKUPS:
            return planted.backups_of_some(seed), _of_some(asked, strength, draw)
        case ClaimAbout.DIRECTIONS_BEHIND:
            return planted.backups(seed, nats=strength), asked
        case _:
            return planted.one_unit(seed), _agreeing(asked, strength, draw)


def _of_some(asked: Sequence[Request], some: float, draw: np.random.Generator) -> list[Request]:
    """The requests, a share of them, drawn by chance, of the kind that has the mechanism."""
    return [replace(one, kind=SOME if draw.random() < some else OTHERS) for one in asked]


def _agreeing(asked: Sequence[Request], agree: float, draw: np.random.Generator) -> list[Request]:
    """The requests, of which a share `agree` is refused if harmful and answered if harmless."""
    refused = [one.harmful == (draw.random() < agree) for one in asked]
    return [
        replace(one, strength=round(float(draw.uniform(0.9, 1.1)), 3) if refuses else 0.0)
        for one, refuses in zip(asked, refused, strict=True)
    ]


def powers_of(found: Sequence[Powered]) -> tuple[PowerRow, ...]:
    """Shares of models on which each claim stands, by mechanism and number of prompts."""
    rows: list[PowerRow] = []
    for claim, mechanism in dict.fromkeys((one.claim, one.mechanism) for one in found):
        own = [one for one in found if (one.claim, one.mechanism) == (claim, mechanism)]
        for n in own[0].stands:
            stands = share(sum(one.stands[n] for one in own), len(own))
            rows.append(PowerRow(claim=claim, mechanism=mechanism, n_prompts=int(n), stands=stands))
    return tuple(rows)
