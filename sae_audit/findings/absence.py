"""The finding that an audit reports no refusal mechanism."""

from dataclasses import dataclass
from enum import StrEnum

from sae_audit.findings.example import Finding


class AbsenceKind(StrEnum):
    """Why an audit reports no refusal mechanism, in the order in which the reasons are checked."""

    NO_REFUSAL = "no_refusal"
    """The model refuses (nearly) nothing."""
    REFUSES_EVERYTHING = "refuses_everything"
    """The model refuses (nearly) every harmless prompt too."""
    NO_SEPARATION = "no_separation"
    """Its refusal scores separate harmful from harmless prompts no better than chance."""
    NO_DIRECTION = "no_direction"
    """No candidate direction passes the filters."""
    NO_FLIP = "no_flip"
    """Ablating all candidates flips no refused prompt."""
    NOT_BEYOND_NULL = "not_beyond_null"
    """The same search among random features does as well as among candidates."""

    @property
    def early(self) -> bool:
        """Whether the audit stopped before it looked for features."""
        return self not in (AbsenceKind.NO_FLIP, AbsenceKind.NOT_BEYOND_NULL)


@dataclass(frozen=True, kw_only=True)
class Absence(Finding):
    """The finding that there is no refusal mechanism to report, with its evidence."""

    kind: AbsenceKind
    reason: str
    """The numbers that show it, in one or two sentences."""
    also: tuple[AbsenceKind, ...]
    """Later reasons of the same list that hold for this model as well."""
    remedy: str
    """What to check before relying on this finding."""
    n_train: tuple[int, int]
    """Numbers of harmful and harmless training prompts behind the recorded means; all prompts of each
    label, refused or not, if the audit stopped before it looked for a direction."""
