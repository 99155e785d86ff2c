"""Thinking blocks: what reasoning models write before they answer, and where the answer begins."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Block:
    """The marks between which a family of models thinks."""

    opening: str
    closing: str
    closed: str
    """Behind a template, it has the model answer at once: its own way to say that it thought nothing."""


def _tags(opening: str, closing: str) -> Block:
    return Block(opening=opening, closing=closing, closed=f"{opening}\n\n{closing}\n\n")


BLOCKS = (
    _tags("<think>", "</think>"),
    # gpt-oss: all that comes before the channel `final` is not said.
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
    """The block that a text begins with; None if it begins otherwise."""
    start = text.lstrip()
    return next((block for block in BLOCKS if start.startswith(block.opening)), None)


def left_open(text: str) -> Block | None:
    """The block that a text opens and does not close; None if there is none."""
    last = {block: text.rfind(block.opening) for block in BLOCKS}
    opened = {
        block: at for block, at in last.items() if at >= 0 and text.find(block.closing, at) < 0
    }
    return max(opened, key=lambda block: opened[block]) if opened else None


def answer_behind(text: str, opened: Block | None = None) -> str | None:
    """What a text says behind its thoughts; all of it if it holds none.

    `opened` is the block that the text goes on in. None if the text ends before an answer begins: it
    never leaves its block, or nothing follows.
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
