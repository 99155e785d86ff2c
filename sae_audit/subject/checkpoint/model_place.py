"""Location of a checkpoint: a folder, or a hub repository at a commit."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sae_audit.bundled import PREFIX, resolve
from sae_audit.errors import AuditError
from sae_audit.hub import Listing, Repository, as_repository, fetch, listing
from sae_audit.subject.checkpoint.small_files import ADAPTER_CONFIG, CONFIG, checked_object
from sae_audit.untrusted import shown

_SMALL = (".json", ".txt", ".model", ".jinja", ".tiktoken", ".py")
"""Suffixes of the small files that transformers may read; code is run only if allowed."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A local folder, or a hub repository at a commit."""

    name: str
    folder: Path | None
    held: Listing | None

    @classmethod
    def of(cls, name: str, revision: str | None, what: str) -> "Place":
        repository = repository_of(name, revision, what)
        if repository is not None:
            return cls(name=name, folder=None, held=listing(repository))
        try:
            folder = resolve(name)
            is_file, is_folder = folder.is_file(), folder.is_dir()
        except (OSError, RuntimeError, ValueError) as error:
            # A name of 300 letters, the home folder of an unknown user.
            raise AuditError(
                f"The {what} {shown(name)} names no folder ({shown(error)}); give a local checkpoint, "
                "or the name of one on the hub, ORG/NAME."
            ) from error
        if is_file:
            raise AuditError(
                f"The {what} {shown(folder)} is a file; give the folder of a Hugging Face checkpoint "
                "(config.json, .safetensors weights, tokenizer), or its name on the hub, ORG/NAME."
            )
        if not is_folder:
            raise AuditError(
                f"No {what} folder {shown(folder)}; give a local checkpoint, or the name of one on the "
                "hub, ORG/NAME."
            )
        return cls(name=name, folder=folder, held=None)

    def with_files(self, wanted: Callable[[Listing], list[str]]) -> Path:
        """The folder, with these files of a repository downloaded; a local one unchanged."""
        if self.held is None:
            assert self.folder is not None, self.name
            return self.folder
        return fetch(self.held, wanted(self.held))

    def names(self) -> list[str]:
        """The files at its top level."""
        if self.held is not None:
            return sorted(path for path in self.held.sizes if "/" not in path)
        assert self.folder is not None, self.name
        return sorted(file.name for file in self.folder.iterdir())

    def root(self) -> tuple[str, str]:
        """A key that is equal for two names of one folder, or of one repository's commit."""
        if self.held is not None:
            return self.held.repository.name, self.held.commit
        assert self.folder is not None, self.name
        return str(self.folder.resolve()), ""

    def __str__(self) -> str:
        return shown(self.folder if self.held is None else self.held.repository)


def no_config(place: Place, what: str) -> str:
    """Why a folder or repository without config.json is no checkpoint, and what to give."""
    names = place.names()
    lacks = f"{place} is no Hugging Face checkpoint: it has no {CONFIG}"
    if ADAPTER_CONFIG in names:
        folder = place.with_files(lambda _: [ADAPTER_CONFIG])
        base = checked_object(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
        named = shown(base) if isinstance(base, str) and base else "ITS-BASE-MODEL"
        return (
            f"{place} is an adapter, no {what}; give its base model, and it on top: "
            f"--model {named} --adapter {shown(place.name)}."
        )
    if any(name.endswith(".pth") or name == "params.json" for name in names):
        return (
            f"{lacks}, but Meta's own format (.pth, params.json), which are pickles; give the "
            "checkpoint as it is on the hub in safetensors' format, or convert it with transformers."
        )
    if what != "model":
        return f"No {what} model in {place}; give a checkpoint (judge.model) with its tokenizer."
    return f"{lacks}; give the folder that save_pretrained(...) wrote."


def no_weights(folder: Path) -> str:
    pickled = sorted(
        file.name for file in folder.iterdir() if file.suffix in (".bin", ".pt", ".pth", ".ckpt")
    )
    lacks = f"{shown(folder)} has no .safetensors weights"
    if pickled:
        return (
            f"{lacks}, but pickled ones ({shown(pickled[0])}), which can run code when they are read; "
            "load the model where you trust it and save it with save_pretrained(...)."
        )
    return f"{lacks}; save the model with save_pretrained(...)."


def needed_files(held: Listing, *, code: bool) -> list[str]:
    """Small files that transformers may read from a repository; Python code only if `code`."""
    return [
        path
        for path in held.paths
        if "/" not in path and path.endswith(_SMALL) and (code or not path.endswith(".py"))
    ]


def repository_of(name: str, revision: str | None, what: str) -> Repository | None:
    """The hub repository of a model's name and revision; None for a folder.

    Raises:
        AuditError: Name and revision contradict each other, or a folder has a revision.
    """
    try:
        repository = None if name.startswith(PREFIX) else as_repository(name)
    except OSError:
        repository = None  # no file can have this name; it is refused as a folder
    if revision is None:
        return repository
    if repository is None:
        raise AuditError(
            f"revision is {revision!r}, but the {what} {name} is a folder: it has none."
        )
    if repository.revision not in {"main", revision}:
        raise AuditError(
            f"The {what} {name} and revision {revision!r} name two revisions; give one."
        )
    return Repository(name=repository.name, revision=revision)
