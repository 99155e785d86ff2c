"""From a prompt to token ids, and the positions that the chat template adds.

A prompt is the user's words alone. If they contain the name of a token that marks turns
("<end_of_turn>"), the tokenizer would read a forged turn; some front ends strip such names and others
keep them, so the model's actual input is unknown and the prompt is refused.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from sae_audit.errors import AuditError
from sae_audit.subject.model.batches import most_positions
from sae_audit.subject.template.rendering import TODAY, TemplateError, rendered
from sae_audit.subject.template.thinking import Block, left_open
from sae_audit.untrusted import read_text, shown
from sae_audit.vocabulary import Positions, TokenClass

# Two texts that share no word, and that no template would strip, split or contain.
_SENTINELS = ("XUSERTEXTX", "a quite other question")
_DATE = TODAY.strftime("%d %b %Y")
"""Date given to templates that write today's date."""
_OURS = frozenset({"messages", "tools", "documents", "add_generation_prompt"})
"""Variables that the audit itself gives a template."""
_MOST_KNOWN = 1024
"""Texts whose form is remembered."""


@dataclass(frozen=True, kw_only=True)
class Template:
    """A tokenizer's chat template, applied to one user turn and the model's opening."""

    conversation: "Conversation"
    after_ids: tuple[int, ...]
    """Template positions: tokens after the user's text, including the answer's prefix."""
    before_ids: tuple[int, ...]
    """Tokens before the user's text: BOS, turn marks, the system prompt."""
    marks: Mapping[int, int]
    """Count, in one prompt, of each token reserved for the template: the tokenizer's special tokens, and
    the added ones that this template uses (`<think>`)."""
    open_block: Block | None
    """Thinking block that the template leaves open, and that the answer continues; None if none."""
    around: tuple[str, str]
    """Text before and after the user's text."""
    n_embedded: int | None = None
    """Number of token ids with an embedding; None if unknown."""
    n_positions: int | None = None
    """Maximum tokens of prompt and answer together; None if the config gives none."""
    notes: tuple[str, ...]
    """Remarks on the template for the report's reader, one sentence each."""
    known: dict[str, tuple[int, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Token ids of texts asked for before: every question about a prompt asks for them."""

    @property
    def tokenizer(self) -> Any:
        return self.conversation.tokenizer

    @property
    def n_after(self) -> int:
        return len(self.after_ids)

    def rendered(self, text: str) -> str:
        return self.conversation.rendered(text)

    def tokens(self, text: str) -> Int[Tensor, " position"]:
        """Token ids of one user turn, up to where the model begins to answer.

        Raises:
            AuditError: The text contains the name of a special token, merges with the template in a
                token, is changed by the template, has a word without an embedding, or is too long.
        """
        if text not in self.known:
            if len(self.known) >= _MOST_KNOWN:
                self.known.clear()
            self.known[text] = self._tokens(text)
        return torch.tensor(self.known[text], dtype=torch.long)

    def _tokens(self, text: str) -> tuple[int, ...]:
        rendered = self.rendered(text)
        if not _is_written(text, rendered, self.around):
            raise AuditError(
                f"The chat template changes the prompt {_short(text)}, or writes other words around it "
                "than around others; leave the prompt out, or give another template with "
                "--chat-template."
            )
        ids = _ids(self.tokenizer, rendered)
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
        largest, n = max(ids, default=0), self.n_embedded
        if n is not None and largest >= n:
            raise AuditError(
                f"The prompt {_short(text)} holds {self.tokenizer.decode([largest])!r}, a word added "
                f"to the tokenizer with the id {largest}, and the model has embeddings of ids up to "
                f"{n - 1}; leave the prompt out, or copy the tokenizer's files of the "
                "model that it was made from."
            )
        if self.n_positions is not None and len(ids) > self.n_positions:
            raise AuditError(
                f"The prompt {_short(text)} has {len(ids)} tokens with the chat template, and the model "
                f"reads {self.n_positions} (max_position_embeddings in its config); leave it out."
            )
        return tuple(ids)

    def fitted(self, config: Any) -> "Template":
        """This template for a model of this config, with its numbers of embeddings and positions."""
        return replace(self, n_embedded=config.vocab_size, n_positions=most_positions(config))

    def after(self) -> list[str]:
        """The template's tokens after the user's text, as printed."""
        return [self.tokenizer.decode([i]) for i in self.after_ids]

    def selected(
        self, ids: Int[Tensor, " position"], positions: Positions
    ) -> Bool[Tensor, " position"]:
        """Mask of the positions of one tokenised prompt that `positions` selects."""
        mask = torch.ones(len(ids), dtype=torch.bool)
        if positions == Positions.TEMPLATE:
            mask[: -self.n_after] = False
        if positions == Positions.ALL_BUT_BOS:
            mask &= ids != self.tokenizer.bos_token_id
        return mask

    def classes(self, ids: Int[Tensor, " position"]) -> list[TokenClass]:
        """Class of each position of one tokenised prompt in the template."""
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


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """Text around the user's text."""

    tokenizer: Any
    source: str
    """Source of the chat template."""
    system_prompt: str | None
    options: Mapping[str, Any]
    """Further variables for the template (`enable_thinking: false`)."""
    answer_prefix: str
    """Text after the template with which every answer begins; empty by default."""
    _known: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Cache of renderings by text: prompts repeat, and each rendering calls another process."""

    def rendered(self, text: str) -> str:
        if text not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[text] = self._render(text)
        return self._known[text]

    def _render(self, text: str) -> str:
        turns = [{"role": "user", "content": text}]
        if self.system_prompt is not None:
            turns.insert(0, {"role": "system", "content": self.system_prompt})
        given = {"date_string": _DATE, **self.options, "add_generation_prompt": True}
        return _rendered_turns(self.tokenizer, self.source, turns, given) + self.answer_prefix


def rendered_exchange(tokenizer: Any, prompt: str, completion: str) -> str:
    """A prompt and its completion, rendered by a judge's own chat template.

    Raises:
        AuditError: There is no chat template, or it cannot render them.
    """
    turns = [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": completion},
    ]
    given = {"add_generation_prompt": False}
    return _rendered_turns(tokenizer, _source(tokenizer), turns, given)


def _rendered_turns(
    tokenizer: Any, source: str, turns: Sequence[Mapping[str, str]], given: Mapping[str, Any]
) -> str:
    variables = {
        **tokenizer.special_tokens_map,
        **given,
        "messages": turns,
        "tools": None,
        "documents": None,
    }
    try:
        return rendered(source, variables, kind="chat")
    except TemplateError as error:
        raise AuditError(f"The chat template cannot render this conversation: {error}.") from error


def chat_template(
    tokenizer: Any,
    *,
    template_file: Path | None,
    system_prompt: str | None,
    options: Mapping[str, Any] | None = None,
    answer_prefix: str | None = None,
) -> Template:
    """The chat template of a file, or else the tokenizer's, followed by the prefix of every answer.

    Raises:
        AuditError: There is no template; it refuses or omits the system prompt; an option has no effect;
            it adds nothing after the user's text; or it already writes the prefix.
    """
    if template_file is not None:
        tokenizer.chat_template = read_text(template_file)
    conversation = Conversation(
        tokenizer=tokenizer,
        source=_source(tokenizer),
        system_prompt=system_prompt,
        options=dict(options or {}),
        answer_prefix=answer_prefix or "",
    )
    prompts = [conversation.rendered(text) for text in _SENTINELS]
    if any(one.count(text) != 1 for one, text in zip(prompts, _SENTINELS, strict=True)):
        raise AuditError("The chat template does not render the user's text exactly once.")
    before, _, behind = prompts[0].partition(_SENTINELS[0])
    if not _is_written(_SENTINELS[1], prompts[1], (before, behind)):
        raise AuditError(
            "The chat template writes other words around one text than around another, so that prompts "
            "are not asked alike; give another template with --chat-template."
        )
    _check_options(conversation, prompts)
    _check_system_prompt(conversation, prompts[0])
    _check_answer_prefix(conversation, prompts[0])
    return _template(conversation, prompts)


def _template(conversation: Conversation, prompts: Sequence[str]) -> Template:
    tokenizer = conversation.tokenizer
    # The common ending of two prompts with different texts is the template's, at most as long as the
    # template wrote: the texts' last words may be one token (an unknown one).
    opening, _, written = prompts[0].partition(_SENTINELS[0])
    ids = [_ids(tokenizer, one) for one in prompts]
    after = _common_end(ids)
    after = after[max(0, len(after) - len(_ids(tokenizer, written))) :]
    if not after:
        raise AuditError(
            "The chat template adds no token after the user's text, so there is no position to read "
            "a direction at; does it honour add_generation_prompt?"
        )
    # Likewise their common beginning.
    before = _common_end([one[::-1] for one in ids])[::-1][: len(_ids(tokenizer, opening))]
    return Template(
        conversation=conversation,
        after_ids=after,
        before_ids=before,
        marks=_marks(tokenizer, ids[0]),
        open_block=left_open(written),
        around=(opening, written),
        notes=_notes(tokenizer, ids[0]),
    )


def _check_options(conversation: Conversation, prompts: Sequence[str]) -> None:
    # Templates ignore unknown options, which would be recorded as used. Only this rendering is audited:
    # an option that acts in others counts as without effect.
    for name in conversation.options:
        if name in _OURS:
            raise AuditError(
                f"The audit gives the chat template {name!r} itself; leave it out of template_options."
            )
        if not _has_effect(conversation, name, prompts):
            raise AuditError(
                f"The chat template renders the same without the option {shown(name)!r}: it does not "
                "read it, sets it itself, or reads it only in other conversations; correct "
                "template_options, or leave it out."
            )


def _has_effect(conversation: Conversation, name: str, prompts: Sequence[str]) -> bool:
    others = {key: value for key, value in conversation.options.items() if key != name}
    without = replace(conversation, options=others)
    try:
        return [without.rendered(text) for text in _SENTINELS] != list(prompts)
    except AuditError:  # the template demands it
        return True


def _check_system_prompt(conversation: Conversation, prompt: str) -> None:
    tokenizer, system_prompt = conversation.tokenizer, conversation.system_prompt
    if system_prompt is None:
        return
    without = replace(conversation, system_prompt=None)
    if system_prompt.strip() and (
        system_prompt.strip() not in prompt or _renders_alike(without, prompt)
    ):
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


def _check_answer_prefix(conversation: Conversation, prompt: str) -> None:
    # The prefix is the auditor's own text, so it may hold special tokens.
    prefix = conversation.answer_prefix
    try:
        prefix.encode()
    except UnicodeEncodeError as error:
        raise AuditError(
            f"answer_prefix holds {shown(prefix[error.start])}, half a character, which is no text; "
            "write it otherwise."
        ) from error
    if "\\n" in prefix:
        raise AuditError(
            f"answer_prefix is {shown(repr(prefix))}, with a backslash and an n where a line should "
            "break; put it in double quotes (--set 'answer_prefix=\"<think>\\n\\n</think>\\n\\n\"')."
        )
    _check_prefix_is_read(conversation.tokenizer, prefix, prompt)
    written = prompt.removesuffix(prefix)
    if prefix.strip() and written.rstrip().endswith(prefix.strip()):
        raise AuditError(
            f"The chat template itself ends with answer_prefix, {shown(repr(prefix))}, which would "
            "stand there twice; leave answer_prefix out."
        )


def _check_prefix_is_read(tokenizer: Any, prefix: str, prompt: str) -> None:
    if not prefix:
        return
    read, before = _ids(tokenizer, prompt), _ids(tokenizer, prompt.removesuffix(prefix))
    if read == before:
        raise AuditError(
            f"answer_prefix is {shown(repr(prefix))}, of which the tokenizer makes no token: answers "
            "would begin as they do without it; write something else, or leave answer_prefix out."
        )
    unknown = tokenizer.unk_token_id
    if unknown is not None and read.count(unknown) > before.count(unknown):
        raise AuditError(
            f"answer_prefix is {shown(repr(prefix))}, of which the model's vocabulary has not every "
            "word; write it in words that it has, or leave answer_prefix out."
        )


def _renders_alike(conversation: Conversation, prompt: str) -> bool:
    try:
        return conversation.rendered(_SENTINELS[0]) == prompt
    except AuditError:  # the template demands a system prompt
        return False


def _notes(tokenizer: Any, prompt: Sequence[int]) -> tuple[str, ...]:
    bos = tokenizer.bos_token_id
    if bos is None or bos in prompt[:1]:
        return ()
    if tokenizer("hello")["input_ids"][:1] != [bos]:
        return ()
    return (
        f"The tokenizer begins a text with its BOS token {tokenizer.bos_token!r}, and the chat template "
        "writes none: prompts are read without it, as the template has them.",
    )


def _special_ids(tokenizer: Any) -> set[int]:
    added = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    # The unknown token is no template token: any text may yield it.
    return (added | set(tokenizer.all_special_ids)) - {tokenizer.unk_token_id}


def _marks(tokenizer: Any, prompt: Sequence[int]) -> dict[int, int]:
    # Gemma's vocabulary has runs of newlines as added tokens: those are text.
    used = {
        i for i in prompt if i in tokenizer.added_tokens_decoder and tokenizer.decode([i]).strip()
    }
    written = Counter(prompt)
    return {i: written[i] for i in (_special_ids(tokenizer) | used) - {tokenizer.unk_token_id}}


def _is_written(text: str, rendered: str, around: tuple[str, str]) -> bool:
    """Whether the text stands there whole, in its constant surroundings, up to space between them."""
    before, behind = around[0].rstrip(), around[1].lstrip()
    n = len(rendered) - len(behind)
    return (
        rendered.startswith(before)
        and rendered.endswith(behind)
        and rendered[len(before) : n].strip() == text.strip()
    )


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _ids(tokenizer: Any, rendered: str) -> list[int]:
    # The rendered string already holds <bos>; special tokens would double it.
    return list(tokenizer(rendered, add_special_tokens=False)["input_ids"])


def _common_end(prompts: Sequence[list[int]]) -> tuple[int, ...]:
    end: list[int] = []
    for last in zip(*(reversed(ids) for ids in prompts), strict=False):
        if len(set(last)) > 1:
            break
        end.append(last[0])
    return tuple(reversed(end))


def _source(tokenizer: Any) -> str:
    if not tokenizer.chat_template:
        raise AuditError(
            "The model's tokenizer has no chat template; give a Jinja file with --chat-template."
        )
    try:
        source = tokenizer.get_chat_template()
    except ValueError as error:  # several templates without a default
        raise AuditError(
            "The tokenizer has several chat templates and no default one; give one of them as a "
            "Jinja file with --chat-template."
        ) from error
    if not isinstance(source, str):
        raise AuditError(
            f"The tokenizer's chat template is {shown(repr(source))}, which is no text; give a Jinja "
            "file with --chat-template."
        )
    return source
