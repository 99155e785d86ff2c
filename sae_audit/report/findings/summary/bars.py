"""A share with its interval on a scale from 0 to 100%, drawn beside the number."""

from math import isfinite

from markupsafe import Markup

from sae_audit.report.verdict.types import Figure

_WIDTH, _EDGE = 170, 8


def bar(found: Figure) -> Markup:
    """An SVG with its text alternative; empty if the number is no share."""
    share = found.share
    if share is None:
        return Markup("")
    said = f"{found.value}, 95% interval {found.interval}"
    interval = Markup("")
    if isfinite(share.low) and isfinite(share.high):
        interval = Markup('<line class="within" x1="{:.1f}" x2="{:.1f}" y1="9" y2="9"/>').format(
            _place(share.low), _place(share.high)
        )
    return Markup(
        '<svg class="bar" width="{0}" height="18" viewBox="0 0 {0} 18" role="img" aria-label="{1}">'
        '<line class="scale-line" x1="{2}" x2="{3}" y1="9" y2="9"/>{4}'
        '<circle cx="{5:.1f}" cy="9" r="5"/></svg>'
    ).format(_WIDTH, said, _EDGE, _WIDTH - _EDGE, interval, _place(share.value))


def _place(share: float) -> float:
    within = min(1.0, max(0.0, share))
    return _EDGE + within * (_WIDTH - 2 * _EDGE)
