"""The words of single prompts, for a terminal alone: from a run's sources, never from its record."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sae_audit.bundled import named_file
from sae_audit.config import AuditConfig
from sae_audit.errors import AuditError

_BEFORE, _AFTER = 12, 6
"""Tokens shown on either side of the one at which a feature fires most."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """Texts of prompts, and the tokenizer that marks one of their tokens."""

    texts: Mapping[str, str]
    """By prompt id."""
    template: object | None
    """The chat template with its tokenizer; None if it could not be opened."""
    obstacle: str
    """Why it could not be opened; empty if it was."""

    def around(self, prompt_id: str, position: int, n_tokens: int) -> str:
        """The tokens around a position, that one in brackets; the whole text if it cannot be found."""
        text = self.texts.get(prompt_id)
        if text is None:
            return "(no longer in the run's sources)"
        from sae_audit.subject.template.chat import Template

        if not isinstance(self.template, Template):
            return text
        ids = self.template.tokens(text).tolist()
        if len(ids) != n_tokens or position >= n_tokens:
            return f"{text} (read as {len(ids)} tokens here, and as {n_tokens} in the run)"
        decode = self.template.tokenizer.decode
        before = decode(ids[max(0, position - _BEFORE) : position])
        after = decode(ids[position + 1 : position + 1 + _AFTER])
        # Spelled out: it may be a line break.
        own = repr(decode([ids[position]]))[1:-1]
        return f"{before} [{own}] {after}"


def words_of(config: AuditConfig, ids: Collection[str]) -> Words:
    """The words of these prompts, from the sources of a run's settings.

    Raises:
        AuditError: a source is missing, or cannot be read.
    """
    from sae_audit.prompts.sources import kept_sources

    wanted = set(ids)
    sources = kept_sources(config.prompts.sources)
    texts = {p.id: p.text for source in sources for p in source.prompts if p.id in wanted}
    try:
        return Words(texts=texts, template=_template(config), obstacle="")
    except AuditError as error:
        return Words(texts=texts, template=None, obstacle=str(error))


def _template(config: AuditConfig) -> object:
    from sae_audit.subject.checkpoint.checkpoint import Checkpoint, ModelOptions
    from sae_audit.subject.template.chat import chat_template

    opened = Checkpoint(config.model, ModelOptions(revision=config.revision))
    return chat_template(
        opened.tokenizer(),
        template_file=None if config.chat_template is None else named_file(config.chat_template),
        system_prompt=config.system_prompt,
        options=config.template_options,
        answer_prefix=config.answer_prefix,
    )
