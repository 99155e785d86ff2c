"""The finding that there is no mechanism to explain, or that the features found are no evidence."""

from dataclasses import dataclass
from enum import StrEnum

from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding


class AbsenceKind(StrEnum):
    """What is absent, in the order in which it is checked.

    The first says that nothing could be measured, and only the second that there is no mechanism: the
    model does not refuse. The next two say that it refuses, and that this is not tied to harm. The last
    two leave refusal and direction as they are, and say that no features were shown to carry them.
    """

    UNSCORED_REFUSAL = "unscored_refusal"
    """Nothing could be measured: the model refuses harmful prompts in words that the score does not
    count."""
    NO_REFUSAL = "no_refusal"
    """No mechanism: the model refuses (nearly) nothing."""
    REFUSES_EVERYTHING = "refuses_everything"
    """Refusal not tied to harm: the model refuses (nearly) every harmless prompt too."""
    NO_SEPARATION = "no_separation"
    """Refusal not tied to harm: its scores, or its refusals in words if the score counts none of them,
    separate harmful from harmless prompts no better than chance."""
    NO_DIRECTION = "no_direction"
    """No direction at all: every candidate is zero or not finite. One that breaks a limit is no absence
    (`Direction.breaks`)."""
    NO_FLIP = "no_flip"
    """Ablating all candidates flips no refused prompt."""
    NOT_BEYOND_NULL = "not_beyond_null"
    """The same search among random features does as well as among candidates."""

    @property
    def of_features(self) -> bool:
        """Whether refusal is there and tied to harm, and only the features found are no evidence."""
        return self in (AbsenceKind.NO_FLIP, AbsenceKind.NOT_BEYOND_NULL)

    @property
    def early(self) -> bool:
        """Whether the audit stopped before it looked for features."""
        return not self.of_features


@dataclass(frozen=True, kw_only=True)
class Absence(Finding):
    """The finding that something is absent without which no claim about features stands."""

    kind: AbsenceKind
    reason: str
    """The numbers that show it, in one or two sentences."""
    also: tuple[AbsenceKind, ...]
    """Other reasons of the list that hold for this model as well."""
    remedy: str
    """What to check before relying on this finding."""
    n_train: tuple[int, int]
    """Numbers of harmful and harmless training prompts behind the recorded means; all prompts of each
    label, refused or not, if the audit stopped before it looked for a direction."""
    refused_in_words: Estimate | None = None
    """Share of harmful audit prompts whose answer opens with words of refusal; heard if by score nearly
    none is refused."""
    harmless_refused_in_words: Estimate | None = None
    """The same of harmless ones."""
