"""From a prompt to token ids, and which positions the chat template adds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from sae_audit.errors import AuditError
from sae_audit.vocabulary import Positions

# Nothing a template would strip, split or contain itself.
_SENTINEL = "XUSERTEXTX"


@dataclass(frozen=True, kw_only=True)
class Template:
    """A tokenizer's chat template as the audit uses it: one user turn, then the model's opening."""

    tokenizer: Any
    system_prompt: str | None
    n_after: int
    """Template positions: how many tokens follow the user's text."""

    def rendered(self, text: str) -> str:
        return _render(self.tokenizer, text, self.system_prompt)

    def tokens(self, text: str) -> Int[Tensor, " position"]:
        """Token ids of one user turn, up to where the model begins to answer.

        Raises:
            AuditError: the text merges with the template, so that no position is the template's.
        """
        # The rendered string holds its own <bos>; special tokens again would double it.
        ids = self.tokenizer(self.rendered(text), add_special_tokens=False)["input_ids"]
        return torch.tensor(ids, dtype=torch.long)

    def after(self) -> list[str]:
        """The template's tokens after the user's text, as printed."""
        ids = self.tokens(_SENTINEL)[-self.n_after :]
        return [self.tokenizer.decode([int(i)]) for i in ids]

    def selected(
        self, ids: Int[Tensor, " position"], positions: Positions
    ) -> Bool[Tensor, " position"]:
        """Which positions of one tokenised prompt `positions` means."""
        mask = torch.ones(len(ids), dtype=torch.bool)
        if positions == Positions.TEMPLATE:
            mask[: -self.n_after] = False
        if positions == Positions.ALL_BUT_BOS:
            mask &= ids != self.tokenizer.bos_token_id
        return mask


def chat_template(
    tokenizer: Any, *, template_file: Path | None, system_prompt: str | None
) -> Template:
    """The chat template of a tokenizer, or of a file where it has none.

    Raises:
        AuditError: there is no template, or it refuses the system prompt.
    """
    if template_file is not None:
        if not template_file.is_file():
            raise AuditError(f"No chat template file {template_file}.")
        tokenizer.chat_template = template_file.read_text()
    if not tokenizer.chat_template:
        raise AuditError(
            "The model's tokenizer has no chat template; give a Jinja file with --chat-template."
        )
    rendered = _render(tokenizer, _SENTINEL, system_prompt)
    if rendered.count(_SENTINEL) != 1:
        raise AuditError("The chat template does not render the user's text exactly once.")
    after = rendered[rendered.index(_SENTINEL) + len(_SENTINEL) :]
    n_after = len(tokenizer(after, add_special_tokens=False)["input_ids"])
    if n_after == 0:
        raise AuditError(
            "The chat template adds no token after the user's text, so there is no position to read "
            "a direction at; does it honour add_generation_prompt?"
        )
    return Template(tokenizer=tokenizer, system_prompt=system_prompt, n_after=n_after)


def _render(tokenizer: Any, text: str, system_prompt: str | None) -> str:
    from jinja2 import TemplateError

    turns = [{"role": "user", "content": text}]
    if system_prompt is not None:
        turns.insert(0, {"role": "system", "content": system_prompt})
    try:
        return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    except TemplateError as error:
        raise AuditError(f"The chat template cannot render this conversation: {error}") from error
