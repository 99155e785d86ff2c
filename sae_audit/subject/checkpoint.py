"""A checkpoint: a folder or a hub repository, its config before its weights, an adapter on top."""

import json
import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError

from sae_audit.bundled import PREFIX, resolve
from sae_audit.errors import AuditError
from sae_audit.hashing import sha256_of_files
from sae_audit.hub import (
    Listing,
    Repository,
    as_repository,
    fetch,
    gguf_of,
    listing,
    weight_files,
)
from sae_audit.subject.gguf import GgufFile, local_file
from sae_audit.subject.tokenizer_files import readable_tokenizer

Quantization = Literal["8bit", "4bit"]

_SMALL = (".json", ".txt", ".model", ".jinja", ".py")
"""Files besides weights that transformers may want of a checkpoint; code is run only where asked."""
_INDEX = "model.safetensors.index.json"
_ADAPTER_WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """How a checkpoint is loaded."""

    revision: str | None = None
    """Branch, tag or commit of a hub repository."""
    adapter: str | None = None
    """PEFT (LoRA) adapter on top: a folder, or a hub repository with `@revision` where wanted."""
    dtype: str = "auto"
    device_map: str | Mapping[str, int | str] | None = None
    """As accelerate takes it (`auto`, or a device by module); None puts all on one device."""
    attn_implementation: Literal["sdpa", "eager"] | None = None
    quantization: Quantization | None = None
    trust_remote_code: bool = False


class Checkpoint:
    """One model, opened: its config is at hand, its weights are read (and downloaded) when asked for."""

    def __init__(self, model: str, options: ModelOptions) -> None:
        """
        Raises:
            AuditError: no such folder or repository, or one that holds no causal LM.
        """
        self.name = model
        self.options = options
        file = local_file(model)
        self.place = _Place.of(str(file.parent) if file else model, options.revision, "model")
        self._adapter = _Place.of(options.adapter, None, "adapter") if options.adapter else None
        self.folder = self.place.with_files(
            # The config of a GGUF file is in it, so that it has to be here already now.
            lambda held: [*needed_files(held, code=options.trust_remote_code), *gguf_of(held)]
        )
        for name in [] if self.place.held is None else gguf_of(self.place.held):
            file = self.folder / name
        self.gguf = None if file is None else GgufFile(file)
        if self.gguf is None and not (self.folder / "config.json").is_file():
            raise AuditError(f"{self.place} is no Hugging Face checkpoint: it has no config.json.")
        if self.gguf is not None and options.quantization is not None:
            raise AuditError(
                f"{self.gguf.path.name} is quantised already and is read in full precision; leave "
                f"quantization ({options.quantization}) out."
            )
        self.config = self.gguf.config if self.gguf else self._from_pretrained("AutoConfig")
        for name in ("num_hidden_layers", "hidden_size", "vocab_size"):
            if not hasattr(self.text_config, name):
                raise AuditError(
                    f"{self.place} holds a {self.config.model_type!r} model whose config lacks {name}; "
                    "an audit needs a decoder-only language model such as Gemma-2 or Llama."
                )

    @property
    def text_config(self) -> Any:
        """The config of the language model, which in some checkpoints is a part of a larger one."""
        return self.config.get_text_config()

    @cached_property
    def weights(self) -> list[Path]:
        """The weight files, downloaded where need be.

        Raises:
            AuditError: there are none in safetensors' format, or one of several is missing.
        """
        if self.gguf is not None:
            return [self.gguf.path]
        self.place.with_files(weight_files)
        if self.place.held is not None:
            # Others may have fetched more of the repository; what is audited must not hang on that.
            names = weight_files(self.place.held)
        else:
            names = sorted(file.name for file in self.folder.glob("*.safetensors"))
        if not names:
            raise AuditError(
                f"{self.folder} has no .safetensors weights; save the model with "
                "save_pretrained(...)."
            )
        index = self.folder / _INDEX
        if index.is_file():
            needed = set(json.loads(index.read_text())["weight_map"].values())
            missing = sorted(needed - set(names))
            if missing:
                raise AuditError(
                    f"{self.place} lacks {missing[0]}, which its index names ({len(missing)} of "
                    f"{len(needed)} weight files are missing); fetch it again."
                )
        return [self.folder / name for name in names]

    @cached_property
    def sha256(self) -> str:
        """Hash of the weight files, and of the adapter's where there is one."""
        files = [*self.weights]
        if self._adapter is not None:
            files.append(self.adapter_folder / _ADAPTER_WEIGHTS)
        return sha256_of_files(files)

    @cached_property
    def adapter_folder(self) -> Path:
        assert self._adapter is not None, "no adapter was asked for"
        folder = self._adapter.with_files(lambda _: ["adapter_config.json", _ADAPTER_WEIGHTS])
        for name in ("adapter_config.json", _ADAPTER_WEIGHTS):
            if not (folder / name).is_file():
                raise AuditError(
                    f"{self._adapter} is no PEFT adapter in safetensors' format: it has no {name}."
                )
        return folder

    @property
    def adapter_commit(self) -> str:
        """The commit of the adapter's hub repository; empty without one."""
        held = self._adapter.held if self._adapter is not None else None
        return held.commit if held is not None else ""

    def tokenizer(self) -> Any:
        if self.gguf is not None:
            return self.gguf.tokenizer()
        return readable_tokenizer(lambda: self._from_pretrained("AutoTokenizer"), self.place)

    def network(self, device: str) -> Any:
        """The model itself, in evaluation mode, on its device or devices.

        Raises:
            AuditError: transformers or peft cannot load it, or a library for it is missing.
        """
        options = self.options
        assert self.weights, f"{self.place} has no weights"
        if self._adapter is not None:
            _ = self.adapter_folder  # its faults show before gigabytes are read
        arguments: dict[str, Any] = {"dtype": options.dtype, "use_safetensors": True}
        if options.attn_implementation is not None:
            arguments["attn_implementation"] = options.attn_implementation
        if options.quantization is not None:
            arguments["quantization_config"] = _quantized(options.quantization)
        if options.device_map is not None:
            arguments["device_map"] = options.device_map
        elif device != "cpu" or options.quantization is not None or self._is_quantized:
            # Straight to the device: quantised weights are made there, and others need not fit
            # into the host's memory first.
            arguments["device_map"] = {"": device}
        try:
            if self.gguf is not None:
                network = self.gguf.network(arguments)
            else:
                network = self._from_pretrained("AutoModelForCausalLM", **arguments)
        except torch.OutOfMemoryError as error:
            raise AuditError(
                f"{self.place} does not fit on {device}; load it in fewer bits (--set "
                "quantization=8bit), spread it (--device-map auto), or use a larger device. sae-audit "
                "plan tells what it needs."
            ) from error
        if self._adapter is not None:
            self._add_adapter(network)
        return network.eval()

    @property
    def _is_quantized(self) -> bool:
        return "quantization_config" in self.config.to_dict()

    def _add_adapter(self, network: Any) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # Beside the weights, not merged into them: merging would round them to their dtype.
                network.load_adapter(str(self.adapter_folder))
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
            raise AuditError(
                f"The adapter {self._adapter} does not fit {self.place}: {_first_line(error)}"
            ) from error

    def _from_pretrained(self, kind: str, **arguments: Any) -> Any:
        import transformers

        transformers.utils.logging.disable_progress_bar()
        logging.getLogger("transformers").setLevel(logging.ERROR)
        what = {"AutoTokenizer": "tokenizer", "AutoConfig": "config"}.get(kind, "model")
        trusted = self.options.trust_remote_code
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # From the folder alone: whatever had to be downloaded has been, at its commit.
                return getattr(transformers, kind).from_pretrained(
                    self.folder, local_files_only=True, trust_remote_code=trusted, **arguments
                )
        except (
            OSError,
            ValueError,
            KeyError,
            ImportError,
            SafetensorError,
            json.JSONDecodeError,
        ) as error:
            if "trust_remote_code" in str(error) and not trusted:
                raise AuditError(
                    f"The {what} of {self.place} needs code that comes with it; read that code, and if "
                    "you trust it, give --trust-remote-code."
                ) from error
            raise AuditError(
                f"transformers cannot load the {what} in {self.place}: {_first_line(error)}"
            ) from error


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A local folder, or a hub repository at a commit."""

    name: str
    folder: Path | None
    held: Listing | None

    @classmethod
    def of(cls, name: str, revision: str | None, what: str) -> "_Place":
        repository = repository_of(name, revision, what)
        if repository is not None:
            return cls(name=name, folder=None, held=listing(repository))
        folder = resolve(name)
        if not folder.is_dir():
            raise AuditError(
                f"No {what} folder {folder}; give a local checkpoint, or the name of one on the hub, "
                "ORG/NAME."
            )
        return cls(name=name, folder=folder, held=None)

    def with_files(self, wanted: Callable[[Listing], list[str]]) -> Path:
        """The folder, once these files of a repository are here; a local one as it is."""
        if self.held is None:
            assert self.folder is not None, self.name
            return self.folder
        return fetch(self.held, wanted(self.held))

    def __str__(self) -> str:
        return str(self.folder if self.held is None else self.held.repository)


def complete_folder(model: str, what: str) -> Path:
    """The folder of a model that is no subject of an audit (a judge), downloaded where need be.

    Raises:
        AuditError: no such folder or repository, or no safetensors weights in it.
    """
    place = _Place.of(model, None, what)
    return place.with_files(lambda held: [*weight_files(held), *needed_files(held, code=False)])


def needed_files(held: Listing, *, code: bool) -> list[str]:
    """What transformers may want of a repository besides weights; its own `code` only if asked."""
    return [
        path
        for path in held.sizes
        if "/" not in path and path.endswith(_SMALL) and (code or not path.endswith(".py"))
    ]


def repository_of(name: str, revision: str | None, what: str) -> Repository | None:
    """The hub repository that a model's name and revision mean; None for a folder.

    Raises:
        AuditError: name and revision contradict each other, or a folder is given a revision.
    """
    repository = None if name.startswith(PREFIX) else as_repository(name)
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
    return replace(repository, revision=revision)


def _quantized(quantization: Quantization) -> Any:
    from importlib.util import find_spec

    if find_spec("bitsandbytes") is None:
        raise AuditError(
            "Loading in 8 or 4 bits needs bitsandbytes; install it with pip install "
            "'sae-audit[quantized]', or leave quantization out."
        )
    from transformers import BitsAndBytesConfig

    if quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16)


def _first_line(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"one of its files lacks {error}"
    return (str(error).strip() or type(error).__name__).splitlines()[0]
