"""Sources into prompts; a broken line is named, never skipped, and no message quotes a prompt."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sae_audit import hub
from sae_audit.errors import AuditError
from sae_audit.prompts.formats import NO_TEXT
from sae_audit.prompts.locating import Location, located, remote_files
from sae_audit.prompts.reading import Placed, read_file
from sae_audit.prompts.types import CONTRASTED, Prompt, folded
from sae_audit.untrusted import shown

DUPLICATES = "duplicates"
OVER_THE_LIMIT = "over the limit"


@dataclass(frozen=True, kw_only=True)
class OpenedSource:
    """The result of one source."""

    name: str
    """Name as given, with options."""
    revision: str
    """Commit on the hub; empty for a local file."""
    files: tuple[Path, ...]
    prompts: tuple[Prompt, ...]
    set_aside: dict[str, int]
    """Number of rows set aside, by reason: `copyright`, `with input`, `duplicates`, ..."""


@dataclass(frozen=True, kw_only=True)
class _Read:
    location: Location
    revision: str
    files: tuple[Path, ...]
    placed: tuple[Placed, ...]
    set_aside: Counter[str]

    @property
    def prompts(self) -> list[Prompt]:
        return [placed.prompt for placed in self.placed]


def read_prompts(names: Sequence[str | Path]) -> list[Prompt]:
    """All prompts of all sources, in order.

    Raises:
        AuditError: As `read_sources`, or harmful or harmless prompts are missing.
    """
    prompts = [prompt for source in kept_sources(names) for prompt in source.prompts]
    for label in CONTRASTED:
        if not any(prompt.label == label for prompt in prompts):
            raise AuditError(
                f"{', '.join(map(shown, names))}: no {label.value} prompt among {len(prompts)}; an "
                'audit compares harmful with harmless ones, so add lines with "label": '
                f'"{label.value}", or a source of such prompts.'
            )
    return prompts


def read_sources(names: Sequence[str | Path]) -> list[OpenedSource]:
    """Each source, downloaded if needed; of prompts with the same text, the lowest id is kept.

    Raises:
        AuditError: A source is missing or cannot be fetched, a line is broken (it is named), an id
            occurs twice, a text has both labels, or every row of a source is about images.
    """
    locations = [located(name) for name in names]
    listings = _listings(locations)
    read = [_read(location, listings) for location in locations]
    _check_ids(read)
    _check_labels(read)
    # The limit is applied first: a source's prompts must not depend on other sources.
    distinct = [_distinct(each.prompts) for each in read]
    limited = [
        _limited(prompts, each.location.options.limit)
        for each, prompts in zip(read, distinct, strict=True)
    ]
    kept_ids = {prompt.id for prompt in _distinct([p for prompts in limited for p in prompts])}
    return [
        _opened(each, n_distinct=len(own), limited=within, kept_ids=kept_ids)
        for each, own, within in zip(read, distinct, limited, strict=True)
    ]


def kept_sources(names: Sequence[str | Path]) -> list[OpenedSource]:
    """The sources for an audit, each with prompts, unless it only repeats those of others.

    Raises:
        AuditError: As `read_sources`, or all rows of a source are set aside.
    """
    sources = read_sources(names)
    for source in sources:
        if not source.prompts and DUPLICATES not in source.set_aside:
            raise _nothing_kept(source.name, Counter(source.set_aside))
    return sources


def _nothing_kept(name: str, set_aside: Counter[str]) -> AuditError:
    reasons = ", ".join(f"{n} {why}" for why, n in set_aside.items())
    remedy = (
        "an audit asks in text alone"
        if set_aside.keys() <= NO_TEXT
        else "docs/prompts.md says which options read some of them"
    )
    return AuditError(
        f"{shown(name)} gives no prompts: all of its {set_aside.total()} rows are set aside "
        f"({reasons}); {remedy}."
    )


def check_named(names: Sequence[str | Path]) -> None:
    """Check that each source is a local file or a possible name on the hub, without asking the hub.

    Raises:
        AuditError: A file is missing, or options do not fit.
    """
    for name in names:
        located(name)


def downloads(names: Sequence[str | Path]) -> list[tuple[hub.Listing, list[str]]]:
    """The hub files that the sources need, cached or not; nothing is fetched.

    Raises:
        AuditError: A source is missing, or its repository cannot be listed.
    """
    locations = [located(name) for name in names]
    listings = _listings(locations)
    wanted: dict[hub.Repository, set[str]] = {}
    for location in locations:
        if location.repository is not None:
            paths = remote_files(location, listings[location.repository])
            wanted.setdefault(location.repository, set()).update(paths)
    return [(listings[repository], sorted(paths)) for repository, paths in wanted.items()]


def _listings(locations: Sequence[Location]) -> dict[hub.Repository, hub.Listing]:
    # Once each, so that two sets of one repository have one commit.
    repositories = dict.fromkeys(each.repository for each in locations if each.repository)
    return {repository: hub.listing(repository) for repository in repositories}


def _read(location: Location, listings: dict[hub.Repository, hub.Listing]) -> _Read:
    files, revision = _files(location, listings)
    placed: list[Placed] = []
    set_aside: Counter[str] = Counter()
    for path, file in files:
        prompts, left_out = read_file(file, path, location, is_one_of_several=len(files) > 1)
        placed += prompts
        set_aside += left_out
    if not placed and set_aside.keys() <= NO_TEXT:
        raise _nothing_kept(location.name, set_aside)
    return _Read(
        location=location,
        revision=revision,
        files=tuple(file for _, file in files),
        placed=tuple(placed),
        set_aside=set_aside,
    )


def _files(
    location: Location, listings: dict[hub.Repository, hub.Listing]
) -> tuple[list[tuple[PurePosixPath, Path]], str]:
    """Published path and local path of each file, and the commit."""
    if location.repository is None:
        assert location.file is not None
        return [(PurePosixPath(location.file.as_posix()), location.file)], ""
    held = listings[location.repository]
    paths = remote_files(location, held)
    folder = hub.fetch(held, paths)
    return [(PurePosixPath(path), folder / path) for path in paths], held.commit


def _all(read: Sequence[_Read]) -> Iterator[Placed]:
    for each in read:
        yield from each.placed


def _check_ids(read: Sequence[_Read]) -> None:
    first_seen: dict[str, str] = {}
    for placed in _all(read):
        if placed.prompt.id in first_seen:
            raise AuditError(
                f"{placed.place}: the id {shown(placed.prompt.id)!r} was used before, at "
                f"{first_seen[placed.prompt.id]}; give every prompt an id of its own, or one source "
                "another name (?name=...)."
            )
        first_seen[placed.prompt.id] = placed.place


def _check_labels(read: Sequence[_Read]) -> None:
    first: dict[str, Placed] = {}
    for placed in _all(read):
        before = first.setdefault(folded(placed.prompt.text), placed)
        if before.prompt.label != placed.prompt.label:
            raise AuditError(
                f"{placed.place}: the text of {shown(placed.prompt.id)!r} stands in the files as "
                f"{before.prompt.label.value} ({before.place}) and as {placed.prompt.label.value}; "
                "keep one."
            )


def _distinct(prompts: Sequence[Prompt]) -> list[Prompt]:
    """The prompts in order, with the lowest id of those with the same text."""
    lowest: dict[str, str] = {}
    for prompt in prompts:
        text = folded(prompt.text)
        lowest[text] = min(lowest.get(text, prompt.id), prompt.id)
    kept = set(lowest.values())
    return [prompt for prompt in prompts if prompt.id in kept]


def _limited(prompts: list[Prompt], limit: int | None) -> list[Prompt]:
    """The prompts whose texts have the lowest SHA-256, in order.

    The first ones would not do, as published files are sorted by category. By hash, a larger limit keeps
    what a smaller one kept, in any file order.
    """
    if limit is None or len(prompts) <= limit:
        return prompts
    lots = {prompt.id: hashlib.sha256(folded(prompt.text).encode()).digest() for prompt in prompts}
    kept = set(sorted(lots, key=lots.__getitem__)[:limit])
    return [prompt for prompt in prompts if prompt.id in kept]


def _opened(
    read: _Read, *, n_distinct: int, limited: list[Prompt], kept_ids: set[str]
) -> OpenedSource:
    prompts = tuple(prompt for prompt in limited if prompt.id in kept_ids)
    n_duplicates = len(read.placed) - n_distinct + len(limited) - len(prompts)
    n_over = n_distinct - len(limited)
    return OpenedSource(
        name=read.location.name,
        revision=read.revision,
        files=read.files,
        prompts=prompts,
        # Adding counters drops zero counts.
        set_aside=dict(
            read.set_aside + Counter({DUPLICATES: n_duplicates, OVER_THE_LIMIT: n_over})
        ),
    )
