"""Table of refused prompts, with each one's minimal set and other findings."""

from dataclasses import dataclass

from sae_audit.findings import FlipScale, MinimalSet, MinimalSetFamily
from sae_audit.pages.wording import NO_VALUE, nats
from sae_audit.record.run import Run

_NAMED = 3
"""Number of a set's features named outside of its certificate."""


@dataclass(frozen=True, kw_only=True)
class PromptRow:
    """One refused prompt, in words."""

    found: MinimalSet
    category: str
    clean: str
    """Marked if small disturbances can flip it, since it is near 0."""
    ablated: str
    size: str
    n_pools_flipping: str
    """Number of random pools that flip it; a dash if none was drawn."""
    n_sets: int
    sets: str
    """Number of minimal sets found, with a + if there may be more."""
    scale: float
    """0 if none was measured."""
    said_scale: str
    features: str
    others: str
    """The other minimal sets found, empty if there are none."""


def prompt_rows(run: Run) -> list[PromptRow]:
    categories = {score.prompt_id: score.category or "(none)" for score in run.scores}
    near_zero = run.search_null.near_zero if run.search_null else ()
    null = {one.prompt_id: one.n_flipping for one in run.null_sets}
    families = {one.prompt_id: one for one in run.minimal_set_families}
    scales = {one.prompt_id: one for one in run.flip_scales}
    return [
        PromptRow(
            found=found,
            category=categories[found.prompt_id],
            clean=("≈ " if found.prompt_id in near_zero else "") + nats(found.clean_score),
            ablated=nats(found.ablated_score) if found.flipped else NO_VALUE,
            size=str(len(found.features)) if found.flipped else NO_VALUE,
            n_pools_flipping=str(null.get(found.prompt_id, NO_VALUE)),
            n_sets=len(families[found.prompt_id].sets) if found.prompt_id in families else 0,
            sets=_sets(families.get(found.prompt_id)),
            scale=_scale(scales.get(found.prompt_id)),
            said_scale=_said_scale(scales.get(found.prompt_id)),
            features=" ".join(map(str, found.features[:_NAMED]))
            + (" …" if len(found.features) > _NAMED else ""),
            others=_others(families.get(found.prompt_id)),
        )
        for found in run.minimal_sets
    ]


def _sets(family: MinimalSetFamily | None) -> str:
    return f"{len(family.sets)}{'' if family.complete else '+'}" if family else NO_VALUE


def _others(family: MinimalSetFamily | None) -> str:
    return "; ".join(" ".join(map(str, one.features)) for one in family.sets[1:]) if family else ""


def _scale(found: FlipScale | None) -> float:
    return (found.scale or found.scale_below) if found else 0


def _said_scale(found: FlipScale | None) -> str:
    """The smallest scale that flips the prompt, or the largest that does not."""
    if found is None:
        return NO_VALUE
    return f"{found.scale:.3f}" if found.scale is not None else f"> {found.scale_below:g}"
