"""Columns of a row besides the request: answers, and required context."""

import re

ANSWERS = frozenset(
    {"target", "Target", "output", "response", "completion", "answer", "chosen", "rejected"}
)
"""Names of columns of answers, which are dropped."""
_IMAGES = ("image", "images", "imagepath", "imagefile", "imagefilename", "imagedescription")
_SYSTEM = ("system", "systemprompt", "systemmessage", "systeminstruction")
_CONTEXTS = ("context", "contexts", "contextstring", "passage", "document", "documents", "input")
_BESIDE = {
    **dict.fromkeys(_SYSTEM, "with a system prompt"),
    **dict.fromkeys(("history", "chathistory"), "with a history"),
    **dict.fromkeys(_IMAGES, "with an image"),
    **dict.fromkeys(_CONTEXTS, "with a context"),
}
"""Names, without case and marks, of columns that a prompt needs, in any format."""


def reason_beside(column: str) -> str | None:
    """Why a prompt is incomplete without the column of this name; None if it is complete."""
    return _BESIDE.get(re.sub(r"[\W_]+", "", column.casefold()))
