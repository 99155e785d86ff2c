"""What is read off the last position's logits: one readout, as the settings name it."""

from collections.abc import Collection, Sequence
from typing import Any

from sae_audit.config import ReadoutSettings
from sae_audit.subject.readout.readout import Readout
from sae_audit.subject.readout.refusal_readout import RefusalReadout
from sae_audit.subject.readout.refusal_tokens import family_refusal_tokens, given_refusal_tokens
from sae_audit.subject.readout.token_pair import token_pair

__all__ = ["REFUSAL_TOKENS", "Readout", "RefusalReadout", "is_heard", "readout_of"]

REFUSAL_TOKENS = ReadoutSettings()
"""The refusal score, as the settings leave it."""


def readout_of(
    settings: ReadoutSettings,
    tokenizer: Any,
    config: Any,
    *,
    refusal_tokens: Sequence[str] | None = None,
    languages: Collection[str] = (),
) -> Readout | None:
    """The readout of a model with this tokenizer and (text) config.

    `refusal_tokens` are those named by the user; else they are the family's, for prompts in these
    `languages`. None if neither is known: they are heard in the model's own answers.

    Raises:
        AuditError: a token that is to be read is none of the vocabulary's.
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
    """Whether the model's own answers have a say in what is read: refusal tokens nobody has named."""
    return settings.kind == "refusal_tokens" and not refusal_tokens
