"""Mentions of features on a page as links to where they can be read."""

import re
from collections.abc import Callable
from html import escape

_TAG_OR_FEATURE = re.compile(
    r"<(style|script)\b.*?</\1>|<[^>]*>|(?<![\w/#.])L\d{1,4}/\d{1,8}(?![\w/])", re.DOTALL
)
_UNLINKED = ("a", "svg", "title", "summary", "button", "h1", "h2", "h3", "h4", "code")
"""Elements whose text gets no link: links, controls and headings, and what is no text of the page."""


def linked(page: str, address: Callable[[str], str | None]) -> str:
    """The page with every mention of a feature, such as `L16/25312`, that has an address as a link."""
    inside: list[str] = []

    def replaced(match: re.Match[str]) -> str:
        found = match[0]
        if not found.startswith("<"):
            target = None if inside else address(found)
            return found if target is None else f'<a href="{escape(target)}">{found}</a>'
        name = re.match(r"</?([a-z0-9]+)", found)
        if name is not None and name[1] in _UNLINKED and not found.endswith("/>"):
            if not found.startswith("</"):
                inside.append(name[1])
            elif name[1] in inside:
                inside.remove(name[1])
        return found

    return _TAG_OR_FEATURE.sub(replaced, page)
