"""What stands beside a request in its row, by the names of columns: answers, and what it needs."""

import re

ANSWERS = frozenset(
    {"target", "Target", "output", "response", "completion", "answer", "chosen", "rejected"}
)
"""Columns of answers, which are dropped."""
_IMAGES = ("image", "images", "imagepath", "imagefile", "imagefilename", "imagedescription")
_SYSTEM = ("system", "systemprompt", "systemmessage", "systeminstruction")
_CONTEXTS = ("context", "contexts", "contextstring", "passage", "document", "documents", "input")
_BESIDE = {
    **dict.fromkeys(_SYSTEM, "with a system prompt"),
    **dict.fromkeys(("history", "chathistory"), "with a history"),
    **dict.fromkeys(_IMAGES, "with an image"),
    **dict.fromkeys(_CONTEXTS, "with a context"),
}
"""Columns that a prompt is not whole without, in any format; names without case and marks."""


def reason_beside(column: str) -> str | None:
    """Why a prompt is not whole without what stands in a column of this name; None if it is."""
    return _BESIDE.get(re.sub(r"[\W_]+", "", column.casefold()))
