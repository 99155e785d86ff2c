"""From a prompt to token ids, and which positions the chat template adds.

A prompt is the user's words and nothing else. Where they hold the name of a token with which the
template marks turns ("<end_of_turn>"), the tokenizer would read a turn that the user forged, and
some front ends strip such names while others let them through: what the model under audit would be
sent is not known, so the prompt is refused rather than read either way.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from sae_audit.errors import AuditError
from sae_audit.vocabulary import Positions, TokenClass

# Two texts that share no word, and that no template would strip, split or contain itself.
_SENTINELS = ("XUSERTEXTX", "a quite other question")
_TODAY = datetime(2024, 7, 26)
_DATE = _TODAY.strftime("%d %b %Y")
"""For templates that write today's date into the prompt (Llama-3.2's do where none is given): the
same audit tomorrow must ask the same. It is what Llama-3.1's write without a clock."""
_OURS = frozenset(
    {
        *("conversation", "messages", "chat_template", "tokenize", "add_generation_prompt"),
        *("continue_final_message", "return_dict"),
    }
)
"""What the audit gives a template itself."""


@dataclass(frozen=True, kw_only=True)
class Template:
    """A tokenizer's chat template as the audit uses it: one user turn, then the model's opening."""

    tokenizer: Any
    system_prompt: str | None
    options: Mapping[str, Any]
    """What the template is given besides the messages (`enable_thinking: false`)."""
    after_ids: tuple[int, ...]
    """Template positions: the tokens that follow the user's text."""
    before_ids: tuple[int, ...]
    """What the template writes before the user's text: BOS, turn marks, the system prompt."""
    marks: Mapping[int, int]
    """How many of each token that is the template's alone it writes into one prompt: of the
    tokenizer's special tokens, and of added ones that this template uses (`<think>`)."""

    @property
    def n_after(self) -> int:
        return len(self.after_ids)

    def rendered(self, text: str) -> str:
        return _render(self.tokenizer, text, self.system_prompt, self.options)

    def tokens(self, text: str) -> Int[Tensor, " position"]:
        """Token ids of one user turn, up to where the model begins to answer.

        Raises:
            AuditError: the text holds the name of a special token, or merges with the template, so
                that its positions are not the template's.
        """
        ids = _ids(self.tokenizer, self.rendered(text))
        written = Counter(i for i in ids if i in self.marks)
        forged = [i for i in self.marks if written[i] != self.marks[i]]
        if forged:
            raise AuditError(
                f"The prompt {_short(text)} holds {self.tokenizer.decode(forged[:1])!r}, which the "
                "tokenizer would read as the chat template's own token; leave the prompt out, or "
                "write the token's name otherwise."
            )
        if tuple(ids[-self.n_after :]) != self.after_ids:
            raise AuditError(
                f"The last letters of the prompt {_short(text)} merge with the chat template's first "
                "into one token; its template positions are not those of the other prompts. Leave "
                "it out."
            )
        return torch.tensor(ids, dtype=torch.long)

    def after(self) -> list[str]:
        """The template's tokens after the user's text, as printed."""
        return [self.tokenizer.decode([i]) for i in self.after_ids]

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

    def classes(self, ids: Int[Tensor, " position"]) -> list[TokenClass]:
        """Where in the template each position of one tokenised prompt stands."""
        tokens = [int(i) for i in ids]
        n_before = len(_common_end([tokens[::-1], list(self.before_ids[::-1])]))
        n_content = len(tokens) - n_before - self.n_after
        assert n_content >= 0, (n_before, self.n_after, len(tokens))
        classes = [TokenClass.SYSTEM] * n_before
        if tokens[0] == self.tokenizer.bos_token_id and n_before:
            classes[0] = TokenClass.BOS
        return [
            *classes,
            *[TokenClass.CONTENT] * n_content,
            *[TokenClass.TEMPLATE] * self.n_after,
        ]


def chat_template(
    tokenizer: Any,
    *,
    template_file: Path | None,
    system_prompt: str | None,
    options: Mapping[str, Any] | None = None,
) -> Template:
    """The chat template of a file, or the tokenizer's own.

    Raises:
        AuditError: there is no template; it refuses the system prompt or leaves it out; it does not
            know an option; it adds nothing after the user's text.
    """
    if template_file is not None:
        if not template_file.is_file():
            raise AuditError(f"No chat template file {template_file}.")
        tokenizer.chat_template = template_file.read_text(encoding="utf-8")
    if not tokenizer.chat_template:
        raise AuditError(
            "The model's tokenizer has no chat template; give a Jinja file with --chat-template."
        )
    options = dict(options or {})
    _check_options(tokenizer, options)
    rendered = [_render(tokenizer, text, system_prompt, options) for text in _SENTINELS]
    if any(one.count(text) != 1 for one, text in zip(rendered, _SENTINELS, strict=True)):
        raise AuditError("The chat template does not render the user's text exactly once.")
    _check_system_prompt(tokenizer, system_prompt, rendered[0])
    # What two prompts with different texts end with alike is the template's own; no more of it than
    # the template wrote, for the texts' last words may be one token alike (an unknown one).
    written = rendered[0].partition(_SENTINELS[0])[2]
    prompts = [_ids(tokenizer, one) for one in rendered]
    after = _common_end(prompts)
    after = after[max(0, len(after) - len(_ids(tokenizer, written))) :]
    if not after:
        raise AuditError(
            "The chat template adds no token after the user's text, so there is no position to read "
            "a direction at; does it honour add_generation_prompt?"
        )
    # Likewise what they begin with alike, and no more than the template wrote there.
    opening = _ids(tokenizer, rendered[0].partition(_SENTINELS[0])[0])
    before = _common_end([ids[::-1] for ids in prompts])[::-1][: len(opening)]
    return Template(
        tokenizer=tokenizer,
        system_prompt=system_prompt,
        options=options,
        after_ids=after,
        before_ids=before,
        marks=_marks(tokenizer, prompts[0]),
    )


def _check_options(tokenizer: Any, options: Mapping[str, Any]) -> None:
    # A template ignores what it does not know, and a misspelt option would be recorded as used.
    source = _source(tokenizer)
    for name in options:
        if name in _OURS or name not in source:
            raise AuditError(
                f"The chat template does not read {name!r}: correct template_options, or leave it out."
            )


def _check_system_prompt(tokenizer: Any, system_prompt: str | None, rendered: str) -> None:
    if system_prompt is None:
        return
    if system_prompt.strip() not in rendered:
        raise AuditError(
            "The chat template leaves the system prompt out; write it into the prompts, or give "
            "another template with --chat-template."
        )
    forged = _special_ids(tokenizer) & set(_ids(tokenizer, system_prompt))
    if forged:
        raise AuditError(
            f"The system prompt holds {tokenizer.decode([min(forged)])!r}, which the tokenizer would "
            "read as the chat template's own token; write it otherwise."
        )


def _special_ids(tokenizer: Any) -> set[int]:
    added = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    # Any text may hold unknown words.
    return (added | set(tokenizer.all_special_ids)) - {tokenizer.unk_token_id}


def _marks(tokenizer: Any, prompt: Sequence[int]) -> dict[int, int]:
    # Gemma adds runs of newlines to its vocabulary: those are text, whoever writes them.
    used = {
        i for i in prompt if i in tokenizer.added_tokens_decoder and tokenizer.decode([i]).strip()
    }
    written = Counter(prompt)
    return {i: written[i] for i in (_special_ids(tokenizer) | used) - {tokenizer.unk_token_id}}


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _ids(tokenizer: Any, rendered: str) -> list[int]:
    # The rendered string holds its own <bos>; special tokens again would double it.
    return list(tokenizer(rendered, add_special_tokens=False)["input_ids"])


def _common_end(prompts: Sequence[list[int]]) -> tuple[int, ...]:
    end: list[int] = []
    for last in zip(*(reversed(ids) for ids in prompts), strict=False):
        if len(set(last)) > 1:
            break
        end.append(last[0])
    return tuple(reversed(end))


def _source(tokenizer: Any) -> str:
    try:
        return tokenizer.get_chat_template()
    except ValueError as error:  # several templates, none of them the default
        raise AuditError(
            "The tokenizer has several chat templates and no default one; give one of them as a "
            "Jinja file with --chat-template."
        ) from error


def _without_clock(source: str) -> str:
    """The template with its clock stopped: `strftime_now` formats one date, at midnight.

    The library gives templates a clock and lets no function be passed in its place; a macro of the
    same name hides it.
    """
    if "strftime_now" not in source:
        return source
    stopped = "format"
    for directive in ("-d", *"aAbBdHIjmMpSyY"):
        # Spelt out rather than left to strftime, which not every system has without a leading zero.
        shown = str(_TODAY.day) if directive == "-d" else _TODAY.strftime(f"%{directive}")
        stopped += f" | replace('%{directive}', '{shown}')"
    # The newline is the tag's, and taken away with it: the template begins as it did.
    return f"{{% macro strftime_now(format) %}}{{{{ {stopped} }}}}{{% endmacro %}}\n{source}"


def _render(
    tokenizer: Any, text: str, system_prompt: str | None, options: Mapping[str, Any]
) -> str:
    from jinja2 import TemplateError

    turns = [{"role": "user", "content": text}]
    if system_prompt is not None:
        turns.insert(0, {"role": "system", "content": system_prompt})
    try:
        return tokenizer.apply_chat_template(
            turns,
            chat_template=_without_clock(_source(tokenizer)),
            tokenize=False,
            add_generation_prompt=True,
            **{"date_string": _DATE, **options},
        )
    except TemplateError as error:
        raise AuditError(f"The chat template cannot render this conversation: {error}") from error
