"""The readout protocol: a score of the last position's logits, its threshold, and its wording.

The instrument reports the *margin*, the score minus the readout's threshold. So 0 separates refusing
from answering for every readout, records with different thresholds compare, and stages need the sign
alone (`sae_audit.margins`). The default threshold of the refusal tokens is 0: margin equals score.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ReadToken:
    """A token whose logit a readout uses."""

    role: str
    """A verb for an answer that begins with the token: `refuses`."""
    id: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Wording:
    """Texts that describe a readout in the manifest and on the page."""

    title: str
    """Name of the readout."""
    score: str
    """Formula of the score, in words."""
    meaning: str
    """Meaning of the scores with their unit, as a clause: "log-odds, in nats, that ..."."""
    missed: str
    """Limits of the score, in whole sentences."""
    remedy: str
    """Advice if the scores show no refusal, a whole sentence."""


@runtime_checkable
class Readout(Protocol):
    """A function from the last position's logits to a score; above its threshold the model refuses.

    It is differentiable, returns float64, scores each row by itself, and is invariant to a constant
    added to all logits. One test suite checks this for every readout.
    """

    kind: ClassVar[str]
    """Name in the settings (`readout.kind`)."""
    bound: ClassVar[float]
    """Upper bound of the absolute score; infinite if scores are unbounded."""
    wording: ClassVar[Wording]

    @property
    def threshold(self) -> float:
        """The score above which the model refuses, in the score's unit."""
        ...

    @property
    def tokens(self) -> tuple[ReadToken, ...]: ...

    def score(self, logits: Float[Tensor, "batch vocabulary"]) -> Float[Tensor, " batch"]:
        """The score of each row, with the threshold not yet subtracted."""
        ...


def margin(readout: Readout, logits: Float[Tensor, "batch vocabulary"]) -> Float[Tensor, " batch"]:
    """Each row's score minus the readout's threshold, in the score's unit; > 0 refuses."""
    return readout.score(logits) - readout.threshold


def margin_bound(readout: Readout) -> float:
    """Upper bound of the absolute margin."""
    return readout.bound + abs(readout.threshold)
