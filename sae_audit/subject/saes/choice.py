"""Selection among several SAEs of a layer, by id or by L0."""

import re
from collections.abc import Iterable, Sequence

from sae_audit.errors import AuditError
from sae_audit.subject.saes.layouts import is_of_other_stream, l0_in
from sae_audit.subject.saes.place import SaePlace
from sae_audit.untrusted import shown

_SHOWN = 6


def matching(names: list[str], ids: str | None, where: str) -> list[str]:
    """The names that `ids` selects: a name containing `{layer}` or `{l0}`, or whole parts of a name.

    Raises:
        AuditError: No name matches.
    """
    if ids is None:
        # In a release with several kinds of SAE, those of other hook points are no candidates.
        return [name for name in names if not is_of_other_stream(name)] or names
    shape = re.escape(ids).replace(re.escape("{layer}"), r"\d+")
    shape = shape.replace(re.escape("{l0}"), r"[^/]+")
    found = [name for name in names if re.fullmatch(shape, name)]
    found = found or [name for name in names if re.search(f"(?:^|/){shape}(?:/|$)", name)]
    if not found:
        raise AuditError(
            f"No SAE of {where} is called {shown(ids)}; they are called "
            f"{', '.join(shown(name, 80) for name in names[:4])}{', ...' if len(names) > 4 else ''}."
        )
    return found


def chosen(
    found: Sequence[SaePlace],
    layers: Iterable[int] | None,
    location: str,
    l0: str | float | None,
) -> list[SaePlace]:
    """One SAE per layer, in order of layer.

    Raises:
        AuditError: A layer has no SAE, or several that neither the ids nor `l0` distinguish.
    """
    by_layer: dict[int, list[SaePlace]] = {}
    for place in found:
        by_layer.setdefault(place.layer, []).append(place)
    wanted = sorted(by_layer if layers is None else set(layers))
    for layer in wanted:
        if layer not in by_layer:
            raise AuditError(
                f"No SAE for layer {layer} in {shown(location)}; it has layers "
                f"{sorted(by_layer)[:100]}. Audit those (layers), or name another suite."
            )
    return [_one(by_layer[layer], location, l0) for layer in wanted]


def _one(places: list[SaePlace], location: str, l0: str | float | None) -> SaePlace:
    if l0 is not None:
        places = _of_l0(places, location, str(l0))
    if len(places) == 1:
        return places[0]
    names = [shown(place.id, 80) for place in places]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    by_l0 = ", or an L0 with sae_l0" if l0 is None and all(l0_in(p.id) for p in places) else ""
    raise AuditError(
        f"{shown(location)} has several SAEs for layer {places[0].layer}: "
        f"{', '.join(names[:_SHOWN])}{more}; keep one, or name which with {shown(location)}:IDS, "
        f"an id with {{layer}} in it or a part of one{by_l0}."
    )


def _of_l0(places: list[SaePlace], location: str, asked: str) -> list[SaePlace]:
    """The places whose name contains this L0, or the number nearest to it."""
    named = {place.id: found for place in places if (found := l0_in(place.id)) is not None}
    if len(named) < len(places):
        raise AuditError(
            f"sae_l0 is {shown(asked)}, but the SAE {places[0]} has no L0 in its name; leave "
            f"sae_l0 out, or name an id ({shown(location)}:IDS)."
        )
    offered = sorted(set(named.values()), key=lambda word: (len(word), word))
    wanted = asked.casefold()
    if all(word.isdigit() for word in offered):
        try:
            number = float(asked)
        except ValueError:
            number = float("nan")
        if number != number:
            raise AuditError(
                f"sae_l0 is {shown(asked)!r}; in {shown(location)} it is a number, layer "
                f"{places[0].layer} has {', '.join(offered)}."
            )
        wanted = min(offered, key=lambda word: (abs(int(word) - number), int(word)))
    found = [place for place in places if named[place.id].casefold() == wanted]
    if not found:
        raise AuditError(
            f"sae_l0 is {shown(asked)!r}; in {shown(location)} it is one of {', '.join(offered)}."
        )
    return found
