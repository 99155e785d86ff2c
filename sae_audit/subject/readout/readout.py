"""What a readout is: a score of the last position's logits, its threshold, and how it tells of itself.

The instrument reports no score as the readout gives it, but the *margin*: the score less the readout's
own threshold. So 0 divides refusing from answering whatever is read, records of different thresholds
compare, and every stage asks for a sign alone (`sae_audit.margins`). The refusal tokens' threshold is 0
unless a setting says otherwise, and a number less 0 is that number, to the bit.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ReadToken:
    """A token whose logit a readout looks at by name."""

    role: str
    """What an answer that begins with it does, a verb: `refuses`."""
    id: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Wording:
    """How manifest and page say what was read."""

    title: str
    """What the readout is called."""
    score: str
    """The score's formula, in words."""
    meaning: str
    """What scores are, with their unit, as a clause: "log-odds, in nats, that ..."."""
    missed: str
    """What the score does not see, in whole sentences."""
    remedy: str
    """What to look at where the scores show no refusal, a whole sentence."""


@runtime_checkable
class Readout(Protocol):
    """A function of the last position's logits to a score, which refuses above its threshold.

    Differentiable, float64, one score a row and of that row alone, and unchanged by a constant added to
    all logits, which a softmax does not see. One test suite holds every readout to that.
    """

    kind: ClassVar[str]
    """Its name in the settings (`readout.kind`)."""
    bound: ClassVar[float]
    """No score is larger, or smaller than its negative; infinite if nothing bounds them."""
    wording: ClassVar[Wording]

    @property
    def threshold(self) -> float:
        """The score, in its own unit, above which the model refuses."""
        ...

    @property
    def tokens(self) -> tuple[ReadToken, ...]: ...

    def score(self, logits: Float[Tensor, "batch vocabulary"]) -> Float[Tensor, " batch"]:
        """The score itself, before its threshold is taken off."""
        ...


def margin(readout: Readout, logits: Float[Tensor, "batch vocabulary"]) -> Float[Tensor, " batch"]:
    """By how much each row's score lies above the readout's threshold, in its unit; > 0 refuses."""
    return readout.score(logits) - readout.threshold


def margin_bound(readout: Readout) -> float:
    """No margin is larger, or smaller than its negative."""
    return readout.bound + abs(readout.threshold)
