"""A self-contained HTML file from a template and figures."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import plotly.graph_objects as go
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from sae_audit.pages.charts import as_json
from sae_audit.pages.wording import interval, nats, percent, ranged, si_bytes
from sae_audit.untrusted import printable


def document(package: str, template: str, figures: Mapping[str, go.Figure], **values: Any) -> str:
    """HTML of `template` in `package`, with everything inlined; it loads nothing.

    A figure named `x` is drawn into the element with id `figure-x`.
    """
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
        "share": lambda estimate: interval(estimate, percent),
    }
    return environment.get_template(template).render(
        figures={name: as_json(figure) for name, figure in figures.items()},
        style=(files("sae_audit.pages") / "style.css").read_text(),
        plotly=get_plotlyjs(),
        **values,
    )


def _printable(value: object) -> object:
    """The record's text without characters that reorder or hide the text around them."""
    return printable(value) if type(value) is str else value
