"""Flips read in the text of the answers."""

from dataclasses import dataclass

from sae_audit.findings.estimates import Estimate
from sae_audit.findings.example import Finding
from sae_audit.margins import answers


@dataclass(frozen=True, kw_only=True)
class TextCheck(Finding):
    """One answer read by the judge, beside the refusal score of the same run."""

    prompt_id: str
    case: str
    """Refused prompts: `clean`, `ablated` (its own minimal set), `random` (as many features of the
    same layers and firing rates), `pooled` (the pooled set, where it was not built on the prompt);
    `harmless`: unablated harmless prompts."""
    score: float
    complied: bool
    """What the judge says of the answer's text."""

    @property
    def agrees(self) -> bool:
        return self.complied == answers(self.score)


@dataclass(frozen=True, kw_only=True)
class Confirmation(Finding):
    """Flips confirmed in text, and how often first-token score and judge agree."""

    judge: str
    answer_tokens: int
    checks: tuple[TextCheck, ...]
    """Of the answers that were judged."""
    confirmed: Estimate | None
    """Share of flipped prompts whose answer under ablation the judge calls compliance; None where
    no prompt was flipped."""
    complied_clean: Estimate
    """Share of refused prompts' unablated answers that it calls so."""
    complied_random: Estimate | None
    """The control: share of flipped prompts' answers that it calls so with as many random features
    ablated. None where no prompt was flipped, or a layer has too few other features."""
    agreement: Estimate
    """Share of all answers on which the sign of the score and the judge agree; prompts, which give
    several answers each, are the cases of the interval."""
    expected_agreement: float
    """The same if the judge read other answers than the score: permuted among all."""
    n_not_judged: int = 0
    """Answers that were no answer yet after `answer_tokens`, but thoughts (a reasoning model's): they
    count neither as compliance nor as refusal, and in no share."""
