"""Thinking blocks: the text that reasoning models write before they answer."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Block:
    """The marks around a model family's thinking."""

    opening: str
    closing: str
    closed: str
    """Text after the template that makes the model answer at once: its form of an empty block."""


def _tags(opening: str, closing: str) -> Block:
    return Block(opening=opening, closing=closing, closed=f"{opening}\n\n{closing}\n\n")


BLOCKS = (
    _tags("<think>", "</think>"),
    # gpt-oss: everything before the channel `final` is thinking.
    Block(
        opening="<|channel|>",
        closing="<|channel|>final<|message|>",
        closed="<|channel|>final<|message|>",
    ),
    # Gemma-4
    Block(
        opening="<|channel>thought", closing="<channel|>", closed="<|channel>thought\n<channel|>"
    ),
    _tags("<thinking>", "</thinking>"),
    _tags("<thought>", "</thought>"),
    _tags("<reasoning>", "</reasoning>"),
    _tags("<seed:think>", "</seed:think>"),
    _tags("[THINK]", "[/THINK]"),
    _tags("<|START_THINKING|>", "<|END_THINKING|>"),
    _tags("<|begin_of_thought|>", "<|end_of_thought|>"),
    _tags("◁think▷", "◁/think▷"),
)


def opening_block(text: str) -> Block | None:
    """The block at the start of a text; None if there is none."""
    start = text.lstrip()
    return next((block for block in BLOCKS if start.startswith(block.opening)), None)


def left_open(text: str) -> Block | None:
    """The block that a text opens without closing; None if there is none."""
    last = {block: text.rfind(block.opening) for block in BLOCKS}
    opened = {
        block: at for block, at in last.items() if at >= 0 and text.find(block.closing, at) < 0
    }
    return max(opened, key=lambda block: opened[block]) if opened else None


def answer_behind(text: str, opened: Block | None = None) -> str | None:
    """The text after the thinking block; the whole text if it has none.

    `opened` is the block that the text continues. None if the text has no answer: its block never
    closes, or nothing follows.
    """
    block = opened or opening_block(text)
    if block is None:
        return text
    answer = text
    while block is not None:
        _, left, answer = answer.partition(block.closing)
        if not left or not answer.strip():
            return None
        block = opening_block(answer)
    return answer
