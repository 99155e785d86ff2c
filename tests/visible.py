"""What a reader reads of a page: no scripts, styles or figures, a line for each paragraph or row."""

import re
from html.parser import HTMLParser

_CELLS = {"td", "th"}
_BLOCKS = {
    *("h1", "h2", "h3", "h4", "p", "pre", "li", "dt", "dd", "tr", "summary", "figcaption", "br"),
    *("section", "div", "table", "details", "figure", "ul", "dl", "nav", "main"),
}


class Page(HTMLParser):
    """Elements with their attributes, and the text outside of script, style and svg."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.written = page
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.styles: list[str] = []
        self._marked = ""
        self._hidden = ""
        self.feed(page)

    @property
    def text(self) -> str:
        """A line for each block; the cells of a row have a bar behind them, white space is one space."""
        lines = (re.sub(r"\s+", " ", line).strip() for line in self._marked.split("\0"))
        return "\n".join(line for line in lines if line)

    @property
    def sections(self) -> list[str | None]:
        """Ids, in their order."""
        return [attributes["id"] for tag, attributes in self.elements if tag == "section"]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if not self._hidden and tag in {"script", "style", "svg"}:
            self._hidden = tag
        if tag in _BLOCKS:
            self._marked += "\0"

    def handle_endtag(self, tag: str) -> None:
        self._hidden = "" if tag == self._hidden else self._hidden
        self._marked += "\0" if tag in _BLOCKS else " | " if tag in _CELLS else ""

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._marked += data
        elif self._hidden == "style":
            self.styles.append(data)


def seen(page: str) -> str:
    """The text that a reader sees."""
    return Page(page).text


def rows_of(text: str, first: str) -> list[list[str]]:
    """The cells behind the first one, of every row of any table that begins with it."""
    lines = [line for line in text.split("\n") if line.startswith(f"{first} | ")]
    return [[cell.strip() for cell in line.removesuffix(" |").split("|")[1:]] for line in lines]
