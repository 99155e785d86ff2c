"""The same search with dictionaries that know nothing of the model (2602.14111)."""

from dataclasses import dataclass
from enum import StrEnum

from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding
from sae_audit.findings.features import Feature


class NullKind(StrEnum):
    """How a null dictionary is made of the real one."""

    ROTATED = "rotated"
    """Encoder columns and decoder rows of each SAE turned by one random rotation: all angles among them
    are kept, nothing that the SAE has learned about the model's axes."""
    ROTATED_ABOUT_DIRECTION = "rotated_about_direction"
    """The same by a rotation that leaves the refusal direction where it is, so that every feature keeps
    its cosine with it: what the direction alone gives."""
    RANDOM_ROWS = "random_rows"
    """The real encoder with random decoder rows of the same norms."""
    SAME_COSINES = "random_rows_same_cosines"
    """The same with the real rows' cosines with the refusal direction. Each feature fires as before
    and pushes along the direction as before: it differs only if the rest of its row matters."""

    @property
    def about_features(self) -> bool:
        """Whether features must beat this kind: it keeps neither when they fire nor what they write
        along the direction, or only the latter by chance."""
        return self is not NullKind.SAME_COSINES


@dataclass(frozen=True, kw_only=True)
class NullSet(Finding):
    """The smallest set that the search found for one prompt with a null dictionary."""

    prompt_id: str
    features: tuple[Feature, ...]
    """Empty if the prompt could not be flipped within the limits."""
    n_candidates: int
    """Number of features that the search could choose from."""
    kl: float
    """Mean KL (nats) of the next token on harmless prompts with the set ablated; 0 if it is empty."""


@dataclass(frozen=True, kw_only=True)
class NullDictionary(Finding):
    """The same search with one null dictionary."""

    kind: NullKind
    number: int
    """Of this kind, from 0; with the audit's seed it decides what is drawn."""
    sets: tuple[NullSet, ...]
    """One for each of the searched prompts."""

    @property
    def key(self) -> str:
        """Name of the row in the record."""
        return f"{self.kind.value}/{self.number}"


@dataclass(frozen=True, kw_only=True)
class KindOfNull(Finding):
    """The real dictionary beside null dictionaries of one kind, on the same prompts."""

    kind: NullKind
    n: int
    """Number of null dictionaries."""
    flipped: int
    """Number of prompts that the real dictionary flips within the limits."""
    flipped_null: tuple[int, ...]
    """The same of each null dictionary."""
    mean_size: float
    """Geometric mean, over prompts, of the number of features that a flip takes with the real
    dictionary; a prompt that is not flipped counts as one feature more than there are candidates."""
    mean_size_null: tuple[float, ...]
    """The same of each null dictionary."""
    ratio: Estimate | None
    """Geometric mean over prompts of the real size divided by the null's (their geometric mean over
    dictionaries); below 1, the real dictionary needs fewer. None if neither flips any prompt."""
    p_value: float
    """Rank of the real dictionary's mean size among all: `(1 + nulls as small or smaller) / (n + 1)`."""
    smallest_p: float
    """`1 / (n + 1)`: no result of this many null dictionaries can be surer."""

    @property
    def beaten(self) -> bool:
        """Whether the real dictionary does better than every one, by more than prompts vary."""
        return (
            self.p_value <= self.smallest_p * (1.0 + 1e-9)
            and self.ratio is not None
            and self.ratio.high < 1.0
        )


@dataclass(frozen=True, kw_only=True)
class DictionaryNull(Finding):
    """The minimal sets compared with those that null dictionaries give."""

    prompts: tuple[str, ...]
    """The refused prompts searched, drawn by the seed."""
    kinds: tuple[KindOfNull, ...]
    stands: bool
    """Whether the real dictionary beats every dictionary of every kind that knows nothing of the model
    (all but `random_rows_same_cosines`)."""
    reason: str
    """The numbers that decide, in one or two sentences."""
