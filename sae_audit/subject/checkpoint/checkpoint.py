"""A checkpoint: a folder or a hub repository, its config read before its weights, an adapter on top."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import psutil
import torch

from sae_audit.errors import AuditError
from sae_audit.hashing import sha256_of_files
from sae_audit.hub import gguf_of, missing_bytes, weight_files
from sae_audit.subject.checkpoint import headers, loaded, small_files
from sae_audit.subject.checkpoint.adapter import check_adapter, with_adapter
from sae_audit.subject.checkpoint.adapter_files import AdapterFiles
from sae_audit.subject.checkpoint.gguf import GgufFile, local_file
from sae_audit.subject.checkpoint.made_for import NamedBase, check_base
from sae_audit.subject.checkpoint.model_place import Place, needed_files, no_config, no_weights
from sae_audit.subject.checkpoint.pretrained import (
    Head,
    Quantization,
    built,
    check_quantizer,
    from_pretrained,
    model_class,
    quantized,
    quiet,
)
from sae_audit.subject.checkpoint.small_files import ADAPTER_WEIGHTS, CONFIG
from sae_audit.subject.checkpoint.tokenizer_files import readable_tokenizer
from sae_audit.subject.model.devices import check_parts
from sae_audit.subject.model.precision import ITEMSIZES, Precision, precision
from sae_audit.untrusted import shown

_NO_ADAPTER = "no-adapter-but-the-one-asked-for"
"""Name of a missing folder, given to transformers so that it applies no adapter by itself."""
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
"""Names of JSON files from which transformers makes a tokenizer."""


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Options for loading a checkpoint."""

    revision: str | None = None
    """Branch, tag or commit of a hub repository."""
    adapter: str | None = None
    """PEFT (LoRA) adapter on top: a folder, or a hub repository with an optional `@revision`."""
    adapter_scale: float = 1.0
    """Factor of the adapter's change of the layers."""
    adapter_merged: bool = False
    """Whether the adapter is added to the weights."""
    accept_other_base: bool = False
    """Whether adapter and SAEs may name other weights than the model's as those they were made for."""
    dtype: str = "auto"
    device_map: str | Mapping[str, int | str] | None = None
    """accelerate's device map (`auto`, or a device by module); None puts all on one device."""
    attn_implementation: Literal["sdpa", "eager"] | None = None
    quantization: Quantization | None = None
    trust_remote_code: bool = False


class Checkpoint:
    """One opened model: its config is loaded, its weights are downloaded and read on request."""

    def __init__(
        self,
        model: str,
        options: ModelOptions,
        *,
        what: str = "model",
        head: Head = "AutoModelForCausalLM",
        config_only: bool = False,
    ) -> None:
        """Fetch a repository's small files; with `config_only` no tokenizer.

        Raises:
            AuditError: There is no such folder, repository or model; or a file in it would change the
                model unasked.
        """
        self.name = model
        self.options = options
        local = local_file(model)
        self.place = Place.of(str(local.parent) if local else model, options.revision, what)
        self._head: Head = head
        self.adapter = AdapterFiles(options.adapter) if options.adapter else None
        self.gguf = self._gguf(local, config_only=config_only)
        names = self.place.names()
        if self.gguf is None and CONFIG not in names:
            raise AuditError(no_config(self.place, what))
        small_files.check_strays(
            names,
            str(self.place),
            adapter_is_own=self.adapter is not None
            and self.adapter.place.root() == self.place.root(),
        )
        # A checkpoint's own code may make its config, so it is needed first.
        code = options.trust_remote_code
        is_enough = config_only and not code
        self.folder = self.place.with_files(
            lambda held: (
                [CONFIG]
                if is_enough and CONFIG in held.sizes
                # A repository may hold only a GGUF file.
                else needed_files(held, code=code) or gguf_of(held)
            )
        )
        if self.gguf is None:
            small_files.checked_config(self.folder / CONFIG)
        answers = self.folder / "generation_config.json"
        if answers.is_file():
            small_files.check_ids(answers, small_files.checked_object(answers))
        self.config = self.gguf.config if self.gguf else self._from_pretrained("AutoConfig")
        for name in ("num_hidden_layers", "hidden_size", "vocab_size"):
            if not hasattr(self.text_config, name):
                raise AuditError(
                    f"{self.place} holds a {shown(self.config.model_type)!r} model whose config lacks "
                    f"{name}; an audit needs a decoder-only language model such as Gemma-2 or Llama."
                )

    def _gguf(self, local: Path | None, *, config_only: bool) -> GgufFile | None:
        """The GGUF file that is this checkpoint, fetched with its weights; None for other formats."""
        held = self.place.held
        names = [] if held is None else gguf_of(held)
        if held is not None and names and config_only and missing_bytes(held, names):
            raise AuditError(
                f"{self.place} is a GGUF file, and its shape is in it; fetch it (sae-audit fetch) "
                "before it is planned with."
            )
        file = self.place.with_files(lambda _: names) / names[0] if names else local
        if file is None:
            return None
        if self.options.quantization is not None:
            raise AuditError(
                f"{shown(file.name)} is quantised already and is read in full precision; leave "
                f"quantization ({self.options.quantization}) out."
            )
        return GgufFile(file)

    @property
    def text_config(self) -> Any:
        """The language model's config, which some checkpoints nest in a larger one.

        Raises:
            AuditError: The config has several language models.
        """
        try:
            return self.config.get_text_config()
        except ValueError as error:
            raise AuditError(
                f"{self.place} has the configs of several language models; an audit needs a "
                "checkpoint of one."
            ) from error

    @cached_property
    def weights(self) -> list[Path]:
        """The weight files that are read, downloaded if needed.

        Raises:
            AuditError: None is in safetensors' format, or one of several is missing.
        """
        if self.gguf is not None:
            return [self.gguf.path]
        self.place.with_files(weight_files)
        if self.place.held is not None:
            # Other programs may have cached more of the repository; the audit must not depend on that.
            names = weight_files(self.place.held)
        else:
            names = sorted(file.name for file in self.folder.glob("*.safetensors"))
            names = [name for name in names if name != ADAPTER_WEIGHTS]
        if not names:
            raise AuditError(no_weights(self.folder))
        index = self.folder / headers.INDEX
        read = headers.files_to_read(names, index if index.is_file() else None, str(self.place))
        return [self.folder / name for name in read]

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the tensors in the weight files, by name.

        Raises:
            AuditError: As `check_kinds`.
        """
        self.check_kinds(headers.kinds_of(self.weights))
        return headers.shapes_of(self.weights)

    def check_kinds(self, kinds: Mapping[str, str]) -> None:
        """Check that tensors of these types, by name, can be read without a scale.

        Raises:
            AuditError: A type needs a scale, and the config has no quantisation.
        """
        if not self.is_quantized:
            headers.check_kinds(kinds, str(self.place))

    @cached_property
    def sha256(self) -> str:
        """Hash of the weight files, and of the adapter's, if any."""
        files = [*self.weights]
        if self.adapter is not None:
            files.append(self.adapter.weights)
        return sha256_of_files(files)

    @cached_property
    def base_sha256(self) -> str:
        """Hash of its own weight files, without the adapter's."""
        return self.sha256 if self.adapter is None else sha256_of_files(self.weights)

    def is_base(self, named: NamedBase, what: str) -> bool:
        """Whether its own weights are those that `what` was made for; downloads them if needed.

        Raises:
            AuditError: They are others, and the options accept no others.
        """
        return check_base(
            named,
            self.base_sha256,
            what=what,
            model=shown(self.name),
            accepted=self.options.accept_other_base,
        )

    def is_base_if_here(self, named: NamedBase, what: str) -> bool | None:
        """`is_base`, without a download; None if the weights are not on this machine.

        Raises:
            AuditError: As `is_base`.
        """
        held = self.place.held
        if self.gguf is None and held is not None and missing_bytes(held, weight_files(held)):
            return None
        return self.is_base(named, what)

    def is_adapters_base(self) -> bool | None:
        """`is_base` for the adapter; None if there is none, or if it names no base.

        Raises:
            AuditError: As `is_base`.
        """
        if self.adapter is None or self.adapter.base is None:
            return None
        return self.is_base(self.adapter.base, f"The adapter {self.adapter}")

    @property
    def small_files(self) -> dict[str, tuple[Path, ...]]:
        """The small files that were read, in a fixed order, by `model` and `adapter`."""
        held = self.place.held
        code = self.options.trust_remote_code
        names = None if held is None else list(held.sizes)
        found = {"model": small_files.files_read(self.folder, names, code=code)}
        if self.adapter is not None:
            found["adapter"] = (self.adapter.config,)
        return found

    @property
    def settings_sha256(self) -> str:
        """Hash of the names and bytes of all small files that were read."""
        return small_files.sha256_of_small(self.small_files)

    def tokenizer(self) -> Any:
        """
        Raises:
            AuditError: There is no tokenizer, or it gives different texts the same tokens.
        """
        where = str(self.place)
        if self.gguf is not None:
            made = readable_tokenizer(self.gguf.tokenizer, where)
            small_files.check_tells_texts_apart(made, where)
            return made
        for name in _TOKENIZER:
            if (self.folder / name).is_file():
                small_files.checked_object(self.folder / name)
        made = readable_tokenizer(lambda: self._from_pretrained("AutoTokenizer"), where)
        small_files.check_has_tokenizer(self.folder, made, where)
        return made

    def precision(self, device: str, *, beside_bytes: float = 0.0) -> Precision:
        """The dtype for loading the weights; `beside_bytes` is the size of the SAEs."""
        own = self.own_dtype()
        return precision(
            self.options.dtype,
            own=own,
            n_parameters=self._n_parameters(own),
            beside_bytes=beside_bytes,
            device=device,
            placed=self.options.device_map is not None,
            quantized=self.options.quantization is not None or self.is_quantized,
            free_bytes=psutil.virtual_memory().available,
        )

    def own_dtype(self) -> str:
        """The dtype of the stored weights; for a GGUF file, the dtype after dequantisation."""
        if self.gguf is not None:
            return "float32"
        return own_dtype(self.config) or headers.dtype_in(self.weights) or "float32"

    def _n_parameters(self, own: str) -> float:
        if self.gguf is not None:
            return float(self.gguf.header.n_parameters)
        n_bytes = sum(file.stat().st_size for file in self.weights)
        return n_bytes / ITEMSIZES[headers.dtype_in(self.weights) or own]

    def check_builds(self) -> None:
        """Check that transformers can build a model of this config, before its weights are there.

        Raises:
            AuditError: It cannot; or device_map names a part that the model lacks.
        """
        found = model_class(self.config, self._head)
        # A check never runs a checkpoint's own code.
        if self.gguf is None and found is not None and not hasattr(self.config, "auto_map"):
            _, made, config = found
            model = built(made, config, str(self.place), self.options.attn_implementation)
            check_parts(self.options.device_map, model)

    def check_reader(self) -> None:
        """Check that the library that reads quantised weights is installed.

        Raises:
            AuditError: The library is missing.
        """
        if self.is_quantized:
            check_quantizer(self.config, str(self.place))

    def check_headers(self, shapes: headers.Shapes) -> bool:
        """Check that files with these tensors make this model; False if only loading can show it.

        Raises:
            AuditError: A tensor is missing, has another shape, or has no place in the model.
        """
        quiet()
        found = model_class(self.config, self._head)
        if found is None or (self.options.trust_remote_code and hasattr(self.config, "auto_map")):
            return False
        _, made, config = found
        keys = loaded.foreseen(made, config, shapes)
        if keys is None:
            return False
        loaded.check_keys(keys, shapes, self.config, str(self.place), head=self._judges)
        return True

    def check_adapter_headers(self) -> bool:
        """Check the adapter's tensors against a model without weights, before their download.

        False if only a model with weights can show it, or if there is no adapter.

        Raises:
            AuditError: The tensors do not fit.
        """
        if self.adapter is None:
            return False
        quiet()
        with self.adapter.headers() as folder:
            found = model_class(self.config, self._head)
            if found is None or hasattr(self.config, "auto_map") or self.is_quantized:
                return False
            _, made, config = found
            own = copy.deepcopy(config)  # some adapters change a model's config
            return check_adapter(
                lambda: made(own),
                folder,
                str(self.adapter),
                str(self.place),
                self.options.adapter_scale,
            )

    def network(self, device: str, dtype: str | None = None) -> Any:
        """The model, in evaluation mode, on its device or devices.

        Raises:
            AuditError: transformers or peft cannot load it completely, a library is missing, or a
                weight is not finite.
        """
        # Their errors show before gigabytes are read into memory.
        self.check_adapter_headers()
        self.is_adapters_base()
        chosen = dtype or self.precision(device).dtype
        try:
            network = self._dequantised(device, chosen) if self.gguf else self._read(device, chosen)
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise AuditError(
                f"{self.place} does not fit on {device}; load it in fewer bits (--set "
                "quantization=8bit), spread it (--device-map auto), or use a larger device. sae-audit "
                "plan tells what it needs."
            ) from error
        if self.adapter is not None:
            folder, adapter = self.adapter.folder, str(self.adapter)
            network = with_adapter(
                network,
                folder,
                adapter,
                str(self.place),
                self.options.adapter_scale,
                merged=self.options.adapter_merged,
            )
        return network.eval()

    def _read(self, device: str, dtype: str) -> Any:
        kind, where = self._kind(), str(self.place)
        self.check_builds()
        self.check_reader()
        self.check_headers(self.shapes)
        network, said = self._from_pretrained(kind, **self._arguments(device, dtype))
        loaded.check_keys(loaded.Keys.of(said), self.shapes, self.config, where, head=self._judges)
        loaded.check_values(network, self.weights, where)
        loaded.check_finite(network, self.weights, where, dtype)
        return network

    def _dequantised(self, device: str, dtype: str) -> Any:
        assert self.gguf is not None, self.place
        arguments = self._arguments(device, dtype)
        for ours in ("output_loading_info", "ignore_mismatched_sizes"):
            del arguments[ours]  # missing tensors are reported under the file's own names
        network = self.gguf.network(arguments)
        loaded.check_finite(network, (), str(self.place), dtype)
        return network

    def _arguments(self, device: str, dtype: str) -> dict[str, Any]:
        options = self.options
        arguments: dict[str, Any] = {
            "dtype": dtype,
            "use_safetensors": True,
            "output_loading_info": True,
            # Reported below, with every other misfit.
            "ignore_mismatched_sizes": True,
            "adapter_kwargs": {"subfolder": _NO_ADAPTER},
        }
        if options.attn_implementation is not None:
            arguments["attn_implementation"] = options.attn_implementation
        if options.quantization is not None:
            arguments["quantization_config"] = quantized(options.quantization)
        if options.device_map is not None:
            arguments["device_map"] = options.device_map
        elif device != "cpu" or options.quantization is not None or self.is_quantized:
            # Directly to the device: quantised weights are made there, others may exceed host memory.
            arguments["device_map"] = {"": device}
        return arguments

    def _kind(self) -> str:
        if self.options.trust_remote_code and hasattr(self.config, "auto_map"):
            return self._head
        found = model_class(self.config, self._head)
        if found is not None:
            return found[0]
        if hasattr(self.config, "auto_map"):
            return self._head  # its error names the flag
        needed = self._judges or "a decoder-only language model such as Gemma-2 or Llama"
        raise AuditError(
            f"{self.place} holds a {shown(self.config.model_type)!r} model, of which transformers has "
            f"no such class; an audit needs {needed} here."
        )

    @property
    def _judges(self) -> str:
        """Description of the model that a judge must be; empty for a language model."""
        return "a classifier of texts" if self._head != "AutoModelForCausalLM" else ""

    @property
    def is_quantized(self) -> bool:
        """Whether its weights are quantised."""
        return self.gguf is None and getattr(self.config, "quantization_config", None) is not None

    def _from_pretrained(self, kind: str, **arguments: Any) -> Any:
        trusted = self.options.trust_remote_code
        return from_pretrained(kind, self.folder, str(self.place), trusted=trusted, **arguments)


def own_dtype(config: Any) -> str | None:
    """The dtype of the checkpoint according to its config; None if it gives none."""
    for one in (config, config.get_text_config()):
        found = str(getattr(one, "dtype", None) or "").removeprefix("torch.")
        if found in ITEMSIZES:
            return found
    return None
