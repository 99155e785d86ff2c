"""How strongly a feature fires, prompt by prompt, as a small SVG."""

from markupsafe import Markup

from sae_audit.findings import ActivationCounts

_WIDTH, _HEIGHT, _FOOT = 240, 46, 12
_COLOURS = {"harmful": "var(--harmful, #d55e00)", "harmless": "var(--harmless, #0072b2)"}


def histogram(found: ActivationCounts) -> Markup:
    """Bars of harmful and harmless prompts by largest activation, with its text alternative; empty if
    the feature fires on no prompt."""
    most = max((*found.harmful, *found.harmless), default=0)
    if not most:
        return Markup("")
    said = _said(found)
    bars: list[str] = []
    step = _WIDTH / len(found.harmful)
    for place, (label, counts) in enumerate(
        (("harmful", found.harmful), ("harmless", found.harmless))
    ):
        path = "".join(
            f"M{i * step + place * step * 0.45 + 1:.0f} {_HEIGHT}v{-_HEIGHT * n / most:.1f}"
            f"h{step * 0.4:.0f}V{_HEIGHT}z"
            for i, n in enumerate(counts)
            if n
        )
        bars.append(f'<path fill="{_COLOURS[label]}" d="{path}"><title>{label}</title></path>')
    return Markup(
        '<svg class="hist" width="{0}" viewBox="0 0 {0} {1}" role="img" aria-label="{2}">{3}'
        '<text x="0" y="{4}">0</text><text x="{0}" y="{4}" text-anchor="end">{5}</text></svg>'
    ).format(
        _WIDTH,
        _HEIGHT + _FOOT,
        said,
        Markup("".join(bars)),
        _HEIGHT + _FOOT - 2,
        f"largest activation {found.largest:.1f}",
    )


def _said(found: ActivationCounts) -> str:
    width = found.largest / len(found.harmful)
    parts = [
        f"{i * width:.1f} to {(i + 1) * width:.1f}: {a} harmful, {b} harmless"
        for i, (a, b) in enumerate(zip(found.harmful, found.harmless, strict=True))
        if a or b
    ]
    return f"Prompts by largest activation. {'; '.join(parts)}"
