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
    GIVEN = "given"
    """SAEs that the user names (`evidence.null_saes`): of other layers, or of another model."""
    SAME_COSINES = "random_rows_same_cosines"
    """The same with the real rows' cosines with the refusal direction. Each feature fires as before
    and pushes along the direction as before: it differs only if the rest of its row matters."""

    @property
    def about_features(self) -> bool:
        """Whether features must beat this kind: it keeps neither when they fire nor what they write
        along the direction, or only the latter by chance."""
        return self is not NullKind.SAME_COSINES

    @property
    def drawn(self) -> bool:
        """Whether dictionaries of this kind are drawn at random, as many as are asked for."""
        return self is not NullKind.GIVEN


@dataclass(frozen=True, kw_only=True)
class SearchedSet(Finding):
    """What is known of the smallest set that the search finds for one prompt with one dictionary.

    A search is ended once its dictionary cannot do as well as the audited SAEs, however it goes on.
    """

    prompt_id: str
    features: tuple[Feature, ...]
    """The set found last; empty if there is none, or the search was ended before it began."""
    n_candidates: int
    """Number of features that the search could choose from."""
    size: int
    """Number of features that a flip takes: of the set within the side-effect limits (of the one whose
    answer complies, if flips count only in text), and no fewer than of any found on the way; one more
    than there are candidates if no such set was found."""
    exact: bool
    """False if the search was ended: `size` is a lower bound."""
    searched: bool
    """Whether its set was held to the side-effect limits when its turn came, in an order that no size
    decides; if not, its size bounds and is no estimate."""
    kl: float | None
    """Mean KL (nats) of the next token on harmless prompts with the set ablated; None if they were not
    asked about, or there is no set."""
    complied: bool | None
    """Whether a set was found under whose ablation the judge calls the answer compliance, without which
    the prompt counts as not flipped; None if no answer was judged."""


@dataclass(frozen=True, kw_only=True)
class NullDictionary(Finding):
    """The same search with one null dictionary."""

    kind: NullKind
    number: int
    """Of this kind, from 0; with the audit's seed it decides what is drawn."""
    name: str
    """Of SAEs that the user names, that name, with their layers if stated; empty if drawn."""
    sets: tuple[SearchedSet, ...]
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
    """Number of null dictionaries searched: all that were asked for, or, if features must beat this
    kind, those up to the first that does as well."""
    n_asked: int
    """Number of null dictionaries asked for."""
    n_as_good: int
    """Number of those searched that do as well as the real dictionary: their mean size is no larger."""
    flipped: int
    """Number of prompts that the real dictionary flips within the limits."""
    flipped_null: tuple[int, ...]
    """The same of each null dictionary; if its search was ended, the most that it may flip."""
    mean_size: float
    """Geometric mean, over prompts, of the number of features that a flip takes with the real
    dictionary; a prompt that is not flipped counts as one feature more than there are candidates."""
    mean_size_null: tuple[float, ...]
    """The same of each null dictionary; if its search was ended, a lower bound."""
    n_exact: int
    """Number of null dictionaries of which no search was ended."""
    searched_size: float | None
    """Geometric mean of the null's size over the prompts that were searched, each over the dictionaries
    with which it was; a lower bound, as sets far larger than the real ones are not searched to the end.
    None if none was."""
    ratio: Estimate | None
    """Geometric mean over these prompts of the real size divided by the null's (their geometric mean
    over dictionaries); below 1, the real dictionary needs fewer. None if neither flips any prompt."""
    p_value: float
    """Rank of the real dictionary's mean size among all: `(1 + nulls as good) / (n + 1)`; if drawing
    ended with the first null that is as good, `1 / n` (Besag and Clifford 1991)."""
    smallest_p: float
    """`1 / (n_asked + 1)`: no result of this many null dictionaries can be surer."""

    @property
    def beaten(self) -> bool:
        """Whether the real dictionary does better than every one, by more than prompts vary."""
        return self.n_as_good == 0 and self.ratio is not None and self.ratio.high < 1.0


@dataclass(frozen=True, kw_only=True)
class DictionaryNull(Finding):
    """The minimal sets compared with those that null dictionaries give."""

    prompts: tuple[str, ...]
    """The refused prompts searched, drawn by the seed."""
    kinds: tuple[KindOfNull, ...]
    in_text: bool
    """Whether a flip counts only if the judge calls the answer's text compliance."""
    n_judged: int
    """Number of answers judged with null dictionaries: of those alone that could do as well."""
    stands: bool
    """Whether the real dictionary beats every dictionary of every kind that knows nothing of the model
    (all but `random_rows_same_cosines`), and every one that the user names."""
    reason: str
    """The numbers that decide, in one or two sentences."""
