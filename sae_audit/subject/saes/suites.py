"""SAEs known by name: suites of a catalog, and releases of sae_lens' registry."""

import re
from collections.abc import Iterable
from typing import Any

from sae_audit.bundled import resolve
from sae_audit.catalog import SparsityChoices, Suite
from sae_audit.errors import AuditError
from sae_audit.hub import Repository, as_repository, listing
from sae_audit.subject.saes import layouts as sae_layouts
from sae_audit.subject.saes.choice import matching
from sae_audit.subject.saes.place import SaePlace
from sae_audit.untrusted import shown


def of_suite(
    suite: Suite, revision: str | None, layers: Iterable[int] | None, l0: str | float | None
) -> list[SaePlace]:
    """The SAEs of a catalog suite.

    Raises:
        AuditError: The suite lacks a layer, or the L0 cannot be selected.
    """
    wanted = sorted(set(suite.layers if layers is None else layers))
    lacking = [layer for layer in wanted if layer not in suite.layers]
    if lacking:
        raise AuditError(
            f"No SAE for layer {lacking[0]} in {suite.name}; it has layers {list(suite.layers)}. "
            "Audit those (layers), or name another suite."
        )
    release = suite.release
    if l0 is not None:
        if suite.l0 is None:
            raise AuditError(f"{suite.name} has one SAE a layer: there is no sae_l0 to choose.")
        release = suite.l0.release or suite.release
    ids = {
        layer: suite.id_of(layer) if suite.l0 is None or l0 is None else _nearest(suite, layer, l0)
        for layer in wanted
    }
    if release is None:
        return _own_suite(suite, ids, revision)
    entry, format = _entry(release, suite.name), _format(release)
    lost = [name for name in ids.values() if name not in entry.saes_map]
    if lost:
        raise AuditError(
            f"The catalog's {suite.name} names {shown(lost[0])!r}, which {release} of the "
            "installed sae_lens does not have; correct its ids."
        )
    held = listing(Repository(name=entry.repo_id, revision=revision or "main"))
    return [
        SaePlace(
            layer=layer,
            release=release,
            id=name,
            path=entry.saes_map[name],
            held=held,
            format=format,
            **_said_by(suite),
        )
        for layer, name in ids.items()
    ]


def of_release(release: str, revision: str | None, ids: str | None) -> list[SaePlace]:
    """The SAEs of a release of sae_lens' registry.

    Raises:
        AuditError: No SAE has these ids, or the format is unsupported.
    """
    entry = registry()[release]
    names, format = matching(list(entry.saes_map), ids, release), _format(release)
    held = listing(Repository(name=entry.repo_id, revision=revision or "main"))
    return [
        SaePlace(
            layer=-1,
            release=release,
            id=name,
            path=entry.saes_map[name],
            held=held,
            format=format,
        ).at_layer(sae_layouts.layer_in(name), f"The id {name!r} of {release}")
        for name in names
    ]


def registry() -> dict[str, Any]:
    """sae_lens' releases by name."""
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    return get_pretrained_saes_directory()


def _entry(release: str, suite: str) -> Any:
    entry = registry().get(release)
    if entry is None:
        raise AuditError(
            f"The catalog's {suite} is of the release {shown(release)!r}, which the installed "
            "sae_lens does not know; correct it, or leave it out and name a repository."
        )
    return entry


def releases_of(repository: str) -> list[str]:
    """The releases whose files are in a hub repository."""
    return [name for name, entry in registry().items() if entry.repo_id == repository]


def _own_suite(suite: Suite, ids: dict[int, str], revision: str | None) -> list[SaePlace]:
    """The SAEs of a suite in the user's own catalog: folders in a supported layout."""
    repository = as_repository(suite.repository)
    folder, held = "", None
    if repository is None:
        root = resolve(suite.repository)
        folder, paths = f"{root}/", sae_layouts.files_in(root)
    else:
        held = listing(Repository(name=repository.name, revision=revision or repository.revision))
        paths = held.paths
    found = {one.path: one for one in sae_layouts.found_in(paths)}
    places: list[SaePlace] = []
    for layer, name in ids.items():
        one = found.get(name, sae_layouts.Found(format="sae_lens", path=name))
        place = SaePlace(
            layer=layer,
            release=suite.name,
            id=name,
            path=f"{folder}{name}",
            held=held,
            format=one.format,
            by_layout=True,
            **_said_by(suite),
        )
        sae_layouts.check_stream(one, f"{suite.repository}/{name}", str(place))
        named = sae_layouts.layer_in(name)
        if named not in {None, layer}:
            raise AuditError(
                f"The catalog's {suite.name} gives {shown(name, 80)} for layer {layer}, but its name is "
                f"that of layer {named}; correct ids or layers."
            )
        places.append(place)
    return places


def _said_by(suite: Suite) -> dict[str, Any]:
    return {
        "d_model": suite.d_model,
        "width": suite.width,
        "architecture": suite.architecture,
    }


def _nearest(suite: Suite, layer: int, l0: str | float) -> str:
    choices = suite.l0
    assert choices is not None
    pattern = choices.ids.replace("{layer}", str(layer))
    if choices.choices is not None:
        if str(l0) not in choices.choices:
            raise AuditError(
                f"sae_l0 is {l0!r}; for {suite.name} it is one of {', '.join(choices.choices)}."
            )
        return pattern.replace("{l0}", str(l0))
    offered = _numbers(choices, suite, pattern)
    try:
        asked = float(l0)
    except ValueError as error:
        raise AuditError(
            f"sae_l0 is {l0!r}; for {suite.name} it is a number, layer {layer} has "
            f"{sorted(offered)}."
        ) from error
    return pattern.replace("{l0}", str(min(offered, key=lambda n: (abs(n - asked), n))))


def _numbers(choices: SparsityChoices, suite: Suite, pattern: str) -> list[int]:
    before, _, after = pattern.partition("{l0}")
    shape = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    release = choices.release or suite.release
    assert release is not None, f"{suite.name} offers L0 without a release"
    found = [shape.fullmatch(name) for name in _entry(release, suite.name).saes_map]
    offered = [int(match[1]) for match in found if match is not None]
    if not offered:
        raise AuditError(
            f"The catalog's {suite.name} offers an L0 by {shown(pattern)!r}, but {release} has no "
            "such SAE; correct l0.ids."
        )
    return offered


def _format(release: str) -> str:
    found = registry()[release].conversion_func or "sae_lens"
    if found not in sae_layouts.FILES:
        raise AuditError(
            f"The SAEs of {release} are in the format {found!r}; an audit reads residual-stream "
            f"SAEs in the formats {', '.join(sorted(sae_layouts.FILES))}."
        )
    return found
