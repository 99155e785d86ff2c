"""The readout that the settings name: a score of the last position's logits."""

from collections.abc import Collection, Sequence
from typing import Any

from sae_audit.config import ReadoutSettings
from sae_audit.subject.readout.readout import Readout
from sae_audit.subject.readout.refusal_readout import RefusalReadout
from sae_audit.subject.readout.refusal_tokens import family_refusal_tokens, given_refusal_tokens
from sae_audit.subject.readout.token_pair import token_pair

__all__ = ["REFUSAL_TOKENS", "Readout", "RefusalReadout", "is_heard", "readout_of"]

REFUSAL_TOKENS = ReadoutSettings()
"""Settings of the default readout, the refusal score."""


def readout_of(
    settings: ReadoutSettings,
    tokenizer: Any,
    config: Any,
    *,
    refusal_tokens: Sequence[str] | None = None,
    languages: Collection[str] = (),
) -> Readout | None:
    """The readout of a model with this tokenizer and (text) config.

    `refusal_tokens` are those given by the user; without them the family's are used, for prompts in
    these `languages`. None if the family has none: they are then found in the model's own answers.

    Raises:
        AuditError: a token to be read is not in the vocabulary.
    """
    match settings.kind:
        case "refusal_tokens":
            known = (
                given_refusal_tokens(tokenizer, refusal_tokens)
                if refusal_tokens
                else family_refusal_tokens(tokenizer, config, languages)
            )
            if known is None:
                return None
            return RefusalReadout(refusal_tokens=known, threshold=settings.threshold)
        case "token_pair":
            return token_pair(settings, tokenizer)


def is_heard(settings: ReadoutSettings, refusal_tokens: Sequence[str] | None) -> bool:
    """Whether refusal tokens depend on the model's own answers: the user has given none."""
    return settings.kind == "refusal_tokens" and not refusal_tokens
