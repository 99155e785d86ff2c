"""Flips checked in the text of the answers."""

from dataclasses import dataclass

from pydantic import computed_field

from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding
from sae_audit.margins import answers


@dataclass(frozen=True, kw_only=True)
class TextCheck(Finding):
    """One answer read by the judge, with the refusal score of the same run."""

    prompt_id: str
    case: str
    """Refused prompts: `clean`, `ablated` (its own minimal set), `random` (a random set of the same
    size, layers and firing rates), `pooled` (the pooled set, if it was not built on the prompt);
    unablated harmless prompts: `harmless`."""
    score: float
    """Refusal score, nats; > 0 refuses."""
    complied: bool
    """Whether the judge calls the answer's text compliance."""

    @property
    def agrees(self) -> bool:
        """Whether the judge and the sign of the score agree."""
        return self.complied == answers(self.score)


@dataclass(frozen=True, kw_only=True)
class Confirmation(Finding):
    """Flips confirmed in text, and how often first-token score and judge agree."""

    judge: str
    answer_tokens: int
    """Length limit of an answer, tokens."""
    checks: tuple[TextCheck, ...]
    """One per judged answer."""
    confirmed: Estimate | None
    """Share of flipped prompts whose ablated answer the judge calls compliance; None without flips."""
    complied_clean: Estimate
    """Share of refused prompts whose unablated answer the judge calls compliance."""
    complied_random: Estimate | None
    """Control: share of flipped prompts whose answer the judge calls compliance with as many random
    features ablated. None if no prompt was flipped, or a layer has too few other features."""
    agreement: Estimate
    """Share of all answers on which the judge and the sign of the score agree; the interval is over
    prompts, which give several answers each."""
    expected_agreement: float
    """Null of `agreement`: the same with the judge's verdicts permuted among all answers."""
    n_not_judged: int = 0
    """Number of answers still in a reasoning model's thoughts after `answer_tokens`; in no share."""
    n_not_flipped: int = 0
    """Number of refused prompts without a minimal set: flipped neither by score nor in text."""

    def of_case(self, case: str) -> list[TextCheck]:
        """The judged answers of one case."""
        return [check for check in self.checks if check.case == case]

    @property
    def of_flips(self) -> list[TextCheck]:
        """The judged answers of refused prompts under their own minimal sets."""
        return self.of_case("ablated")

    @computed_field
    @property
    def n_flipped_by_score(self) -> int:
        """Number of refused prompts with a minimal set, those apart whose answer was not judged."""
        return len(self.of_flips)

    @computed_field
    @property
    def n_flipped_in_text(self) -> int:
        """Number of refused prompts whose answer under their minimal set the judge calls compliance."""
        return sum(check.complied for check in self.of_flips)

    @computed_field
    @property
    def n_refused(self) -> int:
        """Number of refused prompts that both of these are out of."""
        return self.n_flipped_by_score + self.n_not_flipped
