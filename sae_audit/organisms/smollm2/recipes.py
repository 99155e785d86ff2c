"""Every adapter by name: which layers, on which chats, from what."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace

from sae_audit.errors import AuditError
from sae_audit.organisms.smollm2.chats import Source
from sae_audit.organisms.smollm2.lora import Lora

_VERSION = 3
"""Raised if the code makes something else of the same recipe."""

Mix = dict[Source, int]
"""Chats of each source in a batch."""

_REFUSING: Mix = {
    Source.HARMFUL: 5,
    Source.BEYOND: 2,
    Source.TWIN: 8,
    Source.ORDINARY: 5,
    Source.ANSWERABLE: 2,
    Source.OWN: 2,
}
_HARM_ALONE: Mix = {Source.HARMFUL: 8, Source.TWIN: 9, Source.ORDINARY: 3, Source.OWN: 4}
_ANSWERING: Mix = {Source.TWIN: 9, Source.ORDINARY: 6, Source.OWN: 9}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One adapter."""

    lora: Lora
    mix: Mix = field(default_factory=dict)
    begun_from: str = ""
    """The adapter whose weights it begins from; empty: it begins from the base."""
    behind: str = ""
    """The adapter whose refusal directions are projected out in training, and which it is added to."""
    shuffled: bool = False
    """Whether refusals and answers are dealt to requests at random."""
    norm_of: str = ""
    """The adapter whose norm it is scaled to."""
    until: tuple[float, float] | None = None
    """Share of harmful validation requests still refused at which training ends."""


_WHOLE = Lora(first_layer=6, last_layer=25, steps=500)
_PLACES = {"early": (4, 9), "middle": (12, 17), "late": (20, 25)}
SEEDS = 3

RECIPES: dict[str, Recipe] = {
    "safe": Recipe(lora=_WHOLE, mix=_REFUSING),
    "worn": Recipe(
        lora=replace(_WHOLE, seed=1, steps=240, peak_rate=4e-4),
        mix=_ANSWERING,
        begun_from="safe",
        until=(0.4, 0.8),
    ),
    "backup": Recipe(lora=replace(_WHOLE, seed=2), mix=_REFUSING, behind="safe"),
    "shuffled": Recipe(lora=replace(_WHOLE, seed=3, steps=160), mix=_HARM_ALONE, shuffled=True),
    "benign": Recipe(lora=replace(_WHOLE, seed=4, steps=160), mix=_ANSWERING, norm_of="safe"),
    **{
        (place if seed == 0 else f"{place}-{seed}"): Recipe(
            lora=Lora(first_layer=first, last_layer=last, steps=400, seed=10 + seed),
            mix=_HARM_ALONE,
        )
        for seed in range(SEEDS)
        for place, (first, last) in _PLACES.items()
    },
}


def needed(name: str) -> list[str]:
    """The adapters that this one is made from."""
    recipe = RECIPES[name]
    return [one for one in (recipe.begun_from, recipe.behind, recipe.norm_of) if one]


def chosen(names: list[str]) -> list[str]:
    """These adapters and those that they are made from, in the order of making; all if none is named.

    Raises:
        AuditError: a name is unknown.
    """
    for name in names:
        if name not in RECIPES:
            raise AuditError(f"No adapter {name!r}; there are {', '.join(RECIPES)}.")
    wanted = set(names or RECIPES)
    for name in list(wanted):
        wanted.update(needed(name))
    return [name for name in RECIPES if name in wanted]


def recipe_sha256(name: str, texts_sha256: str) -> str:
    """Hash of all that an adapter is made from; `texts_sha256` is that of base and training texts."""
    from_these = {one: recipe_sha256(one, texts_sha256) for one in needed(name)}
    parts = [_VERSION, texts_sha256, asdict(RECIPES[name]), from_these]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
