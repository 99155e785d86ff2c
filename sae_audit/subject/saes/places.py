"""From the name of a suite to the location of each layer's SAE: a folder, or files on the hub."""

import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from sae_audit.bundled import PREFIX, resolve
from sae_audit.catalog import Suite
from sae_audit.errors import AuditError
from sae_audit.hub import Listing, Repository, as_repository, listing
from sae_audit.subject.saes import layouts as sae_layouts
from sae_audit.subject.saes import suites as sae_suites
from sae_audit.subject.saes.choice import chosen, matching
from sae_audit.subject.saes.layouts import Found, found_in
from sae_audit.subject.saes.place import SaePlace
from sae_audit.subject.saes.settings import layer_said
from sae_audit.untrusted import shown, unprintable

__all__ = ["SaePlace", "sae_places"]

_LOCATION = re.compile(r"(?P<name>[^@:]+)(?:@(?P<revision>[^:]+))?(?::(?P<ids>.+))?")
_SCOPE = re.compile(r"gemma-scope-[\w.]+-(?:pt|it)-(res|mlp|att|transcoders)\b")
_CARD_BYTES = 1 << 16
_SHOWN_FILES = 4


def sae_places(
    location: str,
    *,
    catalog: Sequence[Suite],
    layers: Iterable[int] | None = None,
    l0: str | float | None = None,
) -> list[SaePlace]:
    """The SAE of each requested layer, or of every layer that has one if `layers` is None.

    `location` is a folder (or `bundled:...`), a suite of the catalog, a release of sae_lens' registry,
    or a hub repository; folder and repository must have a supported layout (`layouts`). Every hub name
    takes `@REVISION`; folders and repositories take `:IDS`, the id or folder of a layer's SAE with
    `{layer}` in it, or a part of it (`width_16k`). Lists the hub's files and downloads only small ones.

    Raises:
        AuditError: Nothing has that name, a layer has no SAE or several, the L0 cannot be selected, or
            the format is unsupported.
    """
    local = _as_folder(location)
    if local is not None:
        folder, ids = local
        return chosen(_in_folder(folder, location, ids), layers, location, l0)
    match = _LOCATION.fullmatch(location)
    name, revision, ids = match.groups() if match is not None else (location, None, None)
    suite = next((suite for suite in catalog if suite.name == name), None)
    if suite is not None and ids is None:
        found = sae_suites.of_suite(suite, revision, layers, l0)
        return chosen(found, layers, location, None)
    if name in sae_suites.registry():
        found = sae_suites.of_release(name, revision, ids)
    else:
        repository = as_repository(name if revision is None else f"{name}@{revision}")
        if repository is None:
            raise AuditError(_unknown(location, name, catalog))
        found = _in_repository(repository, ids)
    return chosen(found, layers, location, l0)


def _as_folder(location: str) -> tuple[Path, str | None] | None:
    """The folder, and which SAEs in it; None if `location` is no path."""
    before, _, ids = location.rpartition(":")
    is_path = location.startswith((PREFIX, "/", ".", "~"))
    try:
        folder = resolve(location)
        if folder.is_dir():
            return folder, None
        if before and resolve(before).is_dir():
            return resolve(before), ids
        is_path = is_path or folder.exists()
    except (OSError, RuntimeError, ValueError) as error:
        # A name too long, the home folder of an unknown user, a NUL.
        if is_path or isinstance(error, RuntimeError):
            raise AuditError(f"No SAE folder {shown(location)}: {shown(error)}.") from error
        return None
    return (folder, None) if is_path else None


def _in_folder(folder: Path, location: str, ids: str | None) -> list[SaePlace]:
    if not folder.is_dir():
        raise AuditError(
            f"No SAE folder {shown(folder)}; give a folder that holds layer_0, layer_1, ... in a "
            f"layout that is read: {sae_layouts.READ}."
        )
    folder = _snapshot(folder)
    paths = sae_layouts.files_in(folder)
    found = found_in(paths)
    if not found:
        raise AuditError(_no_layout(shown(folder), paths))
    names = {one.path or folder.name: one for one in found}
    model = _model_named_in(folder / "README.md")
    places: list[SaePlace] = []
    for name in matching(list(names), ids, shown(folder)):
        one = names[name]
        if unprintable(name) is not None:
            raise AuditError(
                f"{shown(folder / one.path)} holds the control character {unprintable(name)} in "
                "its name; rename it."
            )
        place = SaePlace(
            layer=-1,
            release=location,
            id=name,
            path=str(folder / one.path),
            held=None,
            format=one.format,
            by_layout=True,
        )
        sae_layouts.check_stream(one, f"{model}{folder.resolve().name}/{name}", str(place))
        layer = sae_layouts.layer_in(name) if one.path else None
        if layer is None:
            layer = layer_said(place)
        if layer is None:
            layer = sae_layouts.layer_above((folder / one.path).resolve())
        places.append(place.at_layer(layer, f"{folder / one.path}"))
    return places


def _model_named_in(readme: Path) -> str:
    """Text that names the model: the repository's name in the hub's cache, or its model card."""
    cached = [part for part in readme.parts if part.startswith("models--")]
    if cached:
        return f"{cached[-1]}/"
    try:
        with readme.open("rb") as stream:
            text = stream.read(_CARD_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    streams = set(_SCOPE.findall(text))
    return f"{streams.pop()}/" if len(streams) == 1 else ""


def _snapshot(folder: Path) -> Path:
    """The folder of the files themselves, if `folder` is a repository in the hub's cache."""
    snapshots = folder / "snapshots"
    if not (folder / "refs").is_dir() or not snapshots.is_dir():
        return folder
    held = sorted(path for path in snapshots.iterdir() if path.is_dir())
    if len(held) != 1:
        raise AuditError(
            f"{shown(folder)} is a repository in the hub's cache with {len(held)} commits; name "
            "the folder of one (snapshots/COMMIT)."
        )
    return held[0]


def _in_repository(repository: Repository, ids: str | None) -> list[SaePlace]:
    held = listing(repository)
    found = found_in(held.paths)
    if not found:
        releases = sae_suites.releases_of(repository.name)
        known = f" sae_lens reads it as {', '.join(releases)}, so name that." if releases else ""
        raise AuditError(_no_layout(str(repository), held.paths) + known)
    names = {one.path or repository.name.partition("/")[2]: one for one in found}
    return [
        _in_listing(held, names[name], name)
        for name in sorted(matching(list(names), ids, str(repository)))
    ]


def _in_listing(held: Listing, one: Found, name: str) -> SaePlace:
    repository = held.repository
    place = SaePlace(
        layer=-1,
        release=repository.name,
        id=name,
        path=one.path,
        held=held,
        format=one.format,
        by_layout=True,
    )
    sae_layouts.check_stream(one, f"{repository.name}/{name}", str(place))
    layer = sae_layouts.layer_in(name) if one.path else None
    if layer is None:
        layer = layer_said(place)
    return place.at_layer(layer, f"The folder {one.path or '.'} of {repository}")


def _no_layout(where: str, paths: Sequence[str]) -> str:
    some = ", ".join(shown(path, 60) for path in paths[:_SHOWN_FILES])
    more = f" and {len(paths) - _SHOWN_FILES} more" if len(paths) > _SHOWN_FILES else ""
    return (
        f"{where} holds no SAE in a layout that is read, which are {sae_layouts.READ}; it holds "
        f"{some + more if paths else 'no files'}."
    )


def _unknown(location: str, name: str, catalog: Sequence[Suite]) -> str:
    names = [*(suite.name for suite in catalog), *sae_suites.registry()]
    near = difflib.get_close_matches(name[:200], names, n=3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return (
        f"No SAEs called {shown(location)!r}: {hint}`sae-audit catalog` lists the suites; a "
        "release of sae_lens, a hub repository ORG/NAME, or an existing folder (layer_0, "
        "layer_1, ...) will do as well."
    )
