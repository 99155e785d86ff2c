"""A self-contained HTML file from a template and figures."""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sae_audit.pages.charts import Chart
from sae_audit.pages.drawing import figure_html, palette_css
from sae_audit.pages.wording import interval, nats, percent, ranged, si_bytes, stacked
from sae_audit.untrusted import printable


def document(
    package: str,
    template: str,
    figures: Mapping[str, Chart],
    *,
    menu: Mapping[str, str],
    **values: Any,
) -> str:
    """HTML of `template` in `package`, which extends `layout.html.j2`, with everything inlined.

    It loads nothing; browsers are told to let it load nothing and to run no script but `page.js`, which
    sorts, filters and copies tables and is needed for nothing else. `menu` has the names of the page's
    parts by their ids. `{{ figure(figures, "x", ...) }}` of `parts.html.j2` draws figure x.
    """
    own = files("sae_audit.pages")
    script = (own / "page.js").read_text(encoding="utf-8")
    style = palette_css() + (own / "style.css").read_text(encoding="utf-8")
    return (
        _environment(package)
        .get_template(template)
        .render(
            figures=figures, menu=menu, style=style, script=script, policy=_policy(script), **values
        )
    )


@cache
def _environment(package: str) -> Environment:
    """The templates of a package and of all pages; kept, as compiling them takes a third of a page."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader("sae_audit.pages", ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    environment.filters |= {
        "interval": interval,
        "percent": percent,
        "nats": nats,
        "ranged": ranged,
        "si_bytes": si_bytes,
        "stacked": stacked,
        "stacked_share": lambda estimate: stacked(estimate, percent),
        "share": lambda estimate: interval(estimate, percent),
        "drawn": lambda chart, title: Markup(figure_html(chart, title)),
        "css_text": _css_text,
    }
    return environment


def _policy(script: str) -> str:
    """What a browser may do with the page: its style, its one script, nothing else."""
    found = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{found}'"


def _css_text(text: str) -> Markup:
    """Text as a string of CSS, every sign but letters, digits and spaces by its number."""
    said = str(Markup(text).unescape()).strip()
    spelled = (c if c.isascii() and (c.isalnum() or c == " ") else f"\\{ord(c):06x}" for c in said)
    return Markup(f'"{"".join(spelled)}"')


def _printable(value: object) -> object:
    """The record's text without characters that reorder or hide the text around them."""
    return printable(value) if type(value) is str else value
