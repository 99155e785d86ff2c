"""The files of a PEFT adapter: a folder, or the hub, which is asked for headers first."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from sae_audit.errors import AuditError
from sae_audit.hub import missing_bytes, remote_header
from sae_audit.subject.checkpoint.adapter import adapter_config
from sae_audit.subject.checkpoint.headers import metadata_of, write_zeros
from sae_audit.subject.checkpoint.made_for import NamedBase, named_base
from sae_audit.subject.checkpoint.model_place import Place
from sae_audit.subject.checkpoint.small_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS


class AdapterFiles:
    """An adapter by its given name: listed at once, read on request."""

    def __init__(self, name: str) -> None:
        """
        Raises:
            AuditError: There is no such folder or repository.
        """
        self.place = Place.of(name, None, "adapter")

    def __str__(self) -> str:
        return str(self.place)

    @cached_property
    def folder(self) -> Path:
        """The folder of config and weights, downloaded if needed.

        Raises:
            AuditError: A file is missing, or the config is not one of a supported adapter.
        """
        return self._folder([ADAPTER_CONFIG, ADAPTER_WEIGHTS])

    @property
    def config(self) -> Path:
        return self.folder / ADAPTER_CONFIG

    @property
    def weights(self) -> Path:
        return self.folder / ADAPTER_WEIGHTS

    @cached_property
    def base(self) -> NamedBase | None:
        """The weights that it was made for; None if its metadata name none.

        Raises:
            AuditError: As `headers` and `named_base`.
        """
        with self.headers() as folder:
            return named_base(metadata_of(folder / ADAPTER_WEIGHTS), f"The adapter {self}")

    @property
    def commit(self) -> str:
        """Commit of its hub repository; empty for a folder."""
        return self.place.held.commit if self.place.held is not None else ""

    @contextmanager
    def headers(self) -> Iterator[Path]:
        """A folder that PEFT reads as this adapter, with tensors of the same names and shapes and
        the same metadata.

        If the weights are on this machine, it is their own folder; else a temporary one with tensors
        of zeros, made from the names and shapes that the hub reports.

        Raises:
            AuditError: As `folder`; or the hub does not answer.
        """
        held = self.place.held
        weights = [ADAPTER_WEIGHTS]
        if held is None or ADAPTER_WEIGHTS not in held.sizes or missing_bytes(held, weights) == 0:
            yield self.folder
        else:
            config = self._folder([ADAPTER_CONFIG]) / ADAPTER_CONFIG
            with tempfile.TemporaryDirectory(prefix="sae-audit-") as made:
                shutil.copyfile(config, Path(made) / ADAPTER_CONFIG)
                header = remote_header(held, ADAPTER_WEIGHTS)
                shapes = {name: one.shape for name, one in header.tensors.items()}
                write_zeros(Path(made) / ADAPTER_WEIGHTS, shapes, header.metadata)
                yield Path(made)

    def _folder(self, needed: list[str]) -> Path:
        folder = self.place.with_files(lambda _: needed)
        for name in needed:
            if not (folder / name).is_file():
                raise AuditError(
                    f"{self.place} is no PEFT adapter in safetensors' format: it has no {name}."
                )
        adapter_config(folder, str(self.place))
        return folder
