"""That there is no refusal mechanism to report: a finding like any other."""

from dataclasses import dataclass
from enum import StrEnum

from sae_audit.findings.example import Finding


class AbsenceKind(StrEnum):
    """Why an audit claims no refusal mechanism, in the order in which it is asked."""

    NO_REFUSAL = "no_refusal"
    """The model refuses (nearly) nothing."""
    REFUSES_EVERYTHING = "refuses_everything"
    """It refuses (nearly) every harmless prompt too."""
    NO_SEPARATION = "no_separation"
    """Its scores tell harmful from harmless prompts no better than chance."""
    NO_DIRECTION = "no_direction"
    """No candidate direction passes the filters."""
    NO_FLIP = "no_flip"
    """No refused prompt is flipped, even with all candidates ablated."""
    NOT_BEYOND_NULL = "not_beyond_null"
    """The same search among random candidates does as well."""

    @property
    def early(self) -> bool:
        """Whether the audit stopped there: no feature was looked for."""
        return self not in (AbsenceKind.NO_FLIP, AbsenceKind.NOT_BEYOND_NULL)


@dataclass(frozen=True, kw_only=True)
class Absence(Finding):
    """The finding that there is no refusal mechanism to report, with its evidence."""

    kind: AbsenceKind
    reason: str
    """The numbers that say so, in one or two sentences."""
    also: tuple[AbsenceKind, ...]
    """Later questions of the same kind that this model fails as well."""
    remedy: str
    """What to check before believing it."""
    n_train: tuple[int, int]
    """Harmful and harmless training prompts behind the recorded means: where the audit stopped
    before a direction was sought these are all prompts of the label, however treated."""
