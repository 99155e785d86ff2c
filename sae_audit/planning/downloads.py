"""The hub files of an audit: listed, sized, and fetched on request."""

from collections.abc import Sequence
from dataclasses import dataclass

from sae_audit.bundled import PREFIX
from sae_audit.catalog import read_catalog
from sae_audit.config import AuditConfig
from sae_audit.hub import (
    Listing,
    as_repository,
    fetch,
    gigabytes,
    listing,
    missing_bytes,
    weight_files,
)
from sae_audit.prompts import sources
from sae_audit.prompts.taxonomy import sources_of
from sae_audit.subject.checkpoint.model_place import needed_files, repository_of
from sae_audit.subject.saes.null_saes import null_places
from sae_audit.subject.saes.places import sae_places


@dataclass(frozen=True, kw_only=True)
class Download:
    """Files of one repository that an audit needs."""

    purpose: str
    """`model`, `adapter`, `SAEs`, `prompts` or `judge`."""
    held: Listing
    files: tuple[str, ...]

    @property
    def n_bytes(self) -> int:
        """Total bytes, cached or not."""
        return sum(self.held.sizes[path] for path in self.files if path in self.held.sizes)

    @property
    def missing_bytes(self) -> int:
        """Bytes not yet in the cache."""
        return missing_bytes(self.held, [path for path in self.files if path in self.held.sizes])

    def described(self) -> str:
        left = self.missing_bytes
        state = "in the cache" if left == 0 else f"{gigabytes(left)} to download"
        return (
            f"{self.purpose}: {self.held.repository} at commit {self.held.commit[:12]}, "
            f"{len(self.files)} files, {gigabytes(self.n_bytes)}, {state}"
        )


def downloads_of(config: AuditConfig) -> list[Download]:
    """The hub files of an audit with these settings; only listings are requested.

    Raises:
        AuditError: Something is missing, or may not be listed.
    """
    found: list[Download] = []
    repository = repository_of(config.model, config.revision, "model")
    if repository is not None:
        held = listing(repository)
        code = config.trust_remote_code
        files = [*needed_files(held, code=code), *weight_files(held)]
        found.append(Download(purpose="model", held=held, files=tuple(files)))
    if config.adapter is not None:
        found += _adapter(config.adapter)
    found += _saes(config)
    for held, paths in sources.downloads(sources_of(config)):
        found.append(Download(purpose="prompts", held=held, files=tuple(paths)))
    if config.confirm == "text" and config.judge.model is not None:
        judge = as_repository(config.judge.model)
        if judge is not None:
            held = listing(judge)
            files = [*needed_files(held, code=False), *weight_files(held)]
            found.append(Download(purpose="judge", held=held, files=tuple(files)))
    return found


def fetch_all(downloads: Sequence[Download]) -> None:
    """Fetch missing files, the largest download last.

    Raises:
        AuditError: A repository is gated, a file is missing, or the disk is too small.
        InterruptedDownloadError: The connection broke.
    """
    for download in sorted(downloads, key=lambda one: one.n_bytes):
        fetch(download.held, download.files)


def _adapter(adapter: str) -> list[Download]:
    repository = None if adapter.startswith(PREFIX) else as_repository(adapter)
    if repository is None:
        return []
    files = ("adapter_config.json", "adapter_model.safetensors")
    return [Download(purpose="adapter", held=listing(repository), files=files)]


def _saes(config: AuditConfig) -> list[Download]:
    catalog = read_catalog(config.catalog)
    places = sae_places(config.saes, catalog=catalog, layers=config.layers, l0=config.sae_l0)
    audited = [place.layer for place in places]
    for asked in config.evidence.null_saes:
        places += null_places(asked, audited, catalog=catalog).values()
    by_repository: dict[str, tuple[Listing, list[str]]] = {}
    for place in places:
        if place.held is not None:
            _, files = by_repository.setdefault(str(place.held.repository), (place.held, []))
            files += [path for path in place.files if path not in files]
    return [
        Download(purpose="SAEs", held=held, files=tuple(files))
        for held, files in by_repository.values()
    ]
