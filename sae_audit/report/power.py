"""What an audit could have seen: how often each claim stood on models of which it is true.

Planted models, 12 of each strength, audited with 20, 40 and 100 prompts of a label; by `COMMAND`, with
what it means in `SOURCE`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sae_audit.findings import ClaimAbout

COMMAND = "sae-audit bench --quick --hostile 73"
SOURCE = "docs/validation.md"
N_MODELS = 12
"""Models of each strength."""
_RARELY = 0.25
"""Largest share of models that is called rarely."""
_PARTS = {0.1: "a tenth", 0.25: "a quarter", 0.5: "half", 0.7: "70%", 0.8: "80%"}
"""Wording of each share of prompts."""


@dataclass(frozen=True, kw_only=True)
class Planted:
    """Models of which one claim is true, all of one strength."""

    claim: ClaimAbout
    planted: str
    """What is planted, as the bench names it."""
    found: Mapping[int, int]
    """Number of models on which the claim stood, by the number of prompts of a label."""
    part: float | None = None
    """Share of prompts that have it; None if all do."""
    is_there: bool = True
    """False if it is too weak to make the claim true."""


MEASURED = (
    Planted(
        claim=ClaimAbout.FEATURES,
        planted="own SAEs, a unit for each of 2 kinds of harm",
        found={20: 5, 40: 7, 100: 6},
    ),
    Planted(
        claim=ClaimAbout.FEATURES,
        planted="own SAEs, a unit for each of 3 kinds of harm",
        found={20: 2, 40: 5, 100: 5},
    ),
    Planted(
        claim=ClaimAbout.FEATURES,
        planted="own SAEs, a unit for each of 4 kinds of harm",
        found={20: 2, 40: 6, 100: 6},
    ),
    Planted(
        claim=ClaimAbout.PAIRS,
        planted="two redundant pairs of 3 nats in 10% of prompts",
        found={20: 1, 40: 2, 100: 7},
        part=0.1,
    ),
    Planted(
        claim=ClaimAbout.PAIRS,
        planted="two redundant pairs of 3 nats in 25% of prompts",
        found={20: 9, 40: 10, 100: 11},
        part=0.25,
    ),
    Planted(
        claim=ClaimAbout.PAIRS,
        planted="two redundant pairs of 3 nats in 50% of prompts",
        found={20: 11, 40: 11, 100: 12},
        part=0.5,
    ),
    Planted(
        claim=ClaimAbout.BACKUPS,
        planted="a backup that restores 6 nats in 10% of prompts",
        found={20: 0, 40: 0, 100: 0},
        part=0.1,
    ),
    Planted(
        claim=ClaimAbout.BACKUPS,
        planted="a backup that restores 6 nats in 25% of prompts",
        found={20: 2, 40: 2, 100: 3},
        part=0.25,
    ),
    Planted(
        claim=ClaimAbout.BACKUPS,
        planted="a backup that restores 6 nats in 50% of prompts",
        found={20: 9, 40: 10, 100: 10},
        part=0.5,
    ),
    Planted(
        claim=ClaimAbout.DIRECTIONS_BEHIND,
        planted="a backup that restores 2 nats in all prompts",
        found={20: 0, 40: 0, 100: 0},
        is_there=False,
    ),
    Planted(
        claim=ClaimAbout.DIRECTIONS_BEHIND,
        planted="a backup that restores 4 nats in all prompts",
        found={20: 8, 40: 8, 100: 7},
    ),
    Planted(
        claim=ClaimAbout.DIRECTIONS_BEHIND,
        planted="a backup that restores 6 nats in all prompts",
        found={20: 5, 40: 5, 100: 5},
    ),
    Planted(
        claim=ClaimAbout.HARM,
        planted="labels agree with refusal on 60% of prompts",
        found={20: 2, 40: 2, 100: 5},
        part=0.6,
    ),
    Planted(
        claim=ClaimAbout.HARM,
        planted="labels agree with refusal on 70% of prompts",
        found={20: 5, 40: 10, 100: 11},
        part=0.7,
    ),
    Planted(
        claim=ClaimAbout.HARM,
        planted="labels agree with refusal on 80% of prompts",
        found={20: 12, 40: 12, 100: 12},
        part=0.8,
    ),
)
"""Each claim's strengths from the weakest. No other claim's power was measured."""
N_PROMPTS = (20, 40, 100)
"""Numbers of prompts of a label that it was measured with."""
_ONE = {
    ClaimAbout.PAIRS: "pairs that interact",
    ClaimAbout.BACKUPS: "one that holds",
    ClaimAbout.HARM: "refusal that follows harm",
}
"""What has a share of prompts, in a sentence."""
_ALL = {
    ClaimAbout.FEATURES: "where features do carry refusal, that was shown",
    ClaimAbout.DIRECTIONS_BEHIND: "where there is a second direction, it was found",
}
"""What holds on all prompts, in a sentence."""


def would_be_seen(about: ClaimAbout, n_prompts: int) -> str:
    """A clause on what an audit of so many prompts of a label would have missed; empty for claims whose
    power was not measured."""
    own = [one for one in MEASURED if one.claim is about and one.is_there]
    if not own:
        return ""
    n = measured_with(n_prompts)
    said = _in_parts(about, own, n) if about in _ONE else _in_all(own, n)
    if n_prompts < n:
        said += f", and that was with {n} prompts, not {n_prompts}"
    return said


def measured_with(n_prompts: int) -> int:
    """The number of prompts, of those measured with, that an audit of so many is held against."""
    return max((one for one in N_PROMPTS if one <= n_prompts), default=N_PROMPTS[0])


def _in_parts(about: ClaimAbout, own: list[Planted], n: int) -> str:
    """By the smallest share of prompts whose mechanism was found in half of the models or more."""
    seen = next(one for one in own if 2 * one.found[n] >= N_MODELS)
    assert seen.part is not None, "of all prompts"
    weaker = own[: own.index(seen)]
    if not weaker:
        return (
            f"{_ONE[about]} in {_PARTS[seen.part]} of the prompts "
            f"{'were' if about is ClaimAbout.PAIRS else 'was'} found in {seen.found[n]} of {N_MODELS} "
            "test models"
        )
    rarely = max(one.found[n] for one in weaker) <= _RARELY * N_MODELS
    return (
        f"{_ONE[about]} in fewer than about {_PARTS[seen.part]} of the prompts would "
        f"{'rarely' if rarely else 'often not'} have been seen"
    )


def _in_all(own: list[Planted], n: int) -> str:
    found = sum(one.found[n] for one in own)
    return f"{_ALL[own[0].claim]} in {found} of {N_MODELS * len(own)} test models"
