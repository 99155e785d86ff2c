"""Coverage of the mechanism by candidates and SAEs, in words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sae_audit.findings import Estimate, LayerCoverage, RandomRange, SaeCoverage
from sae_audit.pages.wording import between, interval, percent, ranged


@dataclass(frozen=True, kw_only=True)
class ShareRow:
    """One share of the effect of removing the direction."""

    label: str
    share: Estimate
    control: str
    """Share of random replacements, in words."""


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """One layer's row, in words."""

    found: LayerCoverage
    in_reconstruction: str
    in_error: str
    slope: str
    random_slopes: str


def layer_rows(found: Sequence[LayerCoverage]) -> list[LayerRow]:
    return [
        LayerRow(
            found=one,
            in_reconstruction=_share(one.in_reconstruction) or "no clear gap",
            in_error=_share(one.in_error),
            slope="nothing varies" if one.slope is None else percent(one.slope),
            random_slopes=ranged(one.random, percent) if one.random else "nothing varies",
        )
        for one in found
    ]


def _share(found: Estimate | None) -> str:
    return interval(found, percent) if found else ""


def share_rows(found: SaeCoverage) -> list[ShareRow]:
    """Shares reached by the candidates, by all SAE features, and carried by the error terms."""
    hidden, unseen, carried = (
        found.hidden_from_candidates,
        found.hidden_from_saes,
        found.carried_by_error,
    )
    if hidden is None or unseen is None or carried is None:
        return []
    return [
        ShareRow(
            label="ablating all candidates",
            share=reached(hidden),
            control=random_words("as many random features", found.random_features),
        ),
        ShareRow(
            label="replacing what the SAEs show along the direction",
            share=reached(unseen),
            control=_rotated(found)
            + random_words("all of a random direction", found.random_direction),
        ),
        ShareRow(
            label="replacing what their error terms hold along the direction",
            share=carried,
            control=random_words("a random direction's error terms", found.random_error),
        ),
    ]


def _rotated(found: SaeCoverage) -> str:
    """`what rotated SAEs show: 97% (95% to 98%), ` or nothing."""
    hidden = found.hidden_from_rotated
    if hidden is None:
        return ""
    low, high = 1.0 - hidden.highest, 1.0 - hidden.lowest
    mean = percent(1.0 - hidden.mean)
    return f"what rotated SAEs show: {mean} ({percent(low)} to {percent(high)}), "


def reached(hidden: Estimate) -> Estimate:
    """Complement of the hidden share."""
    return replace(hidden, value=1.0 - hidden.value, low=1.0 - hidden.high, high=1.0 - hidden.low)


def random_words(what: str, found: RandomRange | None) -> str:
    """`as many random features: 2% (0% to 5%)`."""
    if found is None:
        return "none: too few other features"
    return f"{what}: {percent(found.mean)} ({percent(found.lowest)} to {percent(found.highest)})"


def coverage_sentence(found: SaeCoverage) -> str:
    """The main conclusion, in words."""
    rows = share_rows(found)
    if not rows:
        return f"Not known: {found.reason}."
    candidates, dictionary, error = (between(row.share, percent) for row in rows)
    return (
        f"The features that we searched explain {candidates} of what removing the direction does. "
        f"What the SAEs cannot see carries {error} of it. All that the SAEs show along the "
        f"direction reaches {dictionary}."
    )


def coverage_control(found: SaeCoverage) -> str:
    """The control of the conclusion, in words."""
    rows = share_rows(found)
    return f"Of the same fall, {'; '.join(row.control for row in rows)}." if rows else "None."
