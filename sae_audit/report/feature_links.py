"""Addresses of features on the report's page: `#L16/25312`."""

import re

from markupsafe import Markup

from sae_audit.record.run import Run
from sae_audit.vocabulary import FeatureId


def addresses(run: Run) -> frozenset[FeatureId]:
    """The features that have an address on the run's page: those that findings name, and candidates."""
    if run.stopped_early:
        return frozenset()
    return frozenset({one.feature for one in run.features.named}).union(run.candidates.ranked)


def link(feature: FeatureId) -> Markup:
    """A link to the feature's address."""
    return Markup('<a class="mono" href="#{0}">{0}</a>').format(str(feature))


_TAG_OR_FEATURE = re.compile(
    r"<(style|script)\b.*?</\1>|<[^>]*>|(?<![\w/#.])L\d{1,4}/\d{1,8}(?![\w/])", re.DOTALL
)
_UNLINKED = ("a", "svg", "title", "summary", "button", "h1", "h2", "h3", "h4", "code")
"""Elements whose text gets no link: links, controls and headings, and what is no text of the page."""


def linked(page: str, run: Run) -> str:
    """The page with every mention of a feature that has an address on it as a link to that address."""
    known = {str(one) for one in addresses(run)}
    inside: list[str] = []

    def replaced(match: re.Match[str]) -> str:
        found = match[0]
        if not found.startswith("<"):
            return f'<a href="#{found}">{found}</a>' if found in known and not inside else found
        name = re.match(r"</?([a-z0-9]+)", found)
        if name is not None and name[1] in _UNLINKED and not found.endswith("/>"):
            if not found.startswith("</"):
                inside.append(name[1])
            elif name[1] in inside:
                inside.remove(name[1])
        return found

    return _TAG_OR_FEATURE.sub(replaced, page)
