"""Publishers' file layouts: which files make one SAE, and where its layer is written."""

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from sae_audit.errors import AuditError
from sae_audit.untrusted import shown

FILES: dict[str, tuple[str, ...]] = {
    "sae_lens": ("cfg.json", "sae_weights.safetensors"),
    "sparsify": ("cfg.json", "sae.safetensors"),
    "gemma_2": ("params.npz",),
    "gemma_3": ("params.safetensors",),
    "llama_scope": ("hyperparams.json", "checkpoints/final.safetensors"),
    "llama_scope_r1_distill": ("config.json", "sae_weights.safetensors"),
    "dictionary_learning_1": ("config.json", "ae.pt"),
    "goodfire": (),
    "qwen_scope": (),
    "deepseek_r1": (),
}
"""File names of one SAE, by sae_lens' name for the format; if empty, the SAE is one file."""
OPTIONAL = {"sae_lens": ("sparsity.safetensors",), "gemma_3": ("config.json",)}

READ = (
    "cfg.json with sae_weights.safetensors (sae_lens), cfg.json with sae.safetensors (sparsify), "
    "params.npz (Gemma Scope), params.safetensors (Gemma Scope 2), hyperparams.json with "
    "checkpoints/final.safetensors (Llama Scope), config.json with ae.pt (dictionary_learning), "
    "layerN.sae.pt (Qwen Scope) and ...SAE-lN.pth (Goodfire)"
)
"""Supported layouts, as text for a message."""

_ONE_FILE = (
    ("qwen_scope", re.compile(r"layer\d+\.sae\.pt", re.IGNORECASE)),
    ("deepseek_r1", re.compile(r".*deepseek.*sae.*-l\d+\.pth?", re.IGNORECASE)),
    ("goodfire", re.compile(r".*sae.*-l\d+\.pth?", re.IGNORECASE)),
)
_OTHER_STREAMS = re.compile(
    r"hook_(?!resid_post)|resid_(?:pre|mid)|embed"
    r"|(?:^|[-_/.])(?:mlp|att|attn|attention|transcoders?|crosscoders?|clt)(?:$|[-_/.])",
    re.IGNORECASE,
)
_LAYERS = (
    re.compile(r"(?:layers?|blocks)[_.\-]?(\d+)", re.IGNORECASE),
    re.compile(r"(?:^|[-/])[lh]\.?(\d+)[rma]?(?=$|[-/.])", re.IGNORECASE),
    re.compile(r"(?:^|/)l?(\d+)(?!\d|_\d|k|[mx](?:$|/))", re.IGNORECASE),
)
"""Patterns tried in this order, as a folder like 65k/layer_3 holds other numbers: 16k, 1m and 8x are
widths, l0_82 is an L0."""
_FOLDER_OF_LAYER = re.compile(
    r"(?:resid_post_)?(?:layers?|blocks)[_.\-]?(\d{1,5})(?:$|[_.\-])", re.IGNORECASE
)
_L0 = re.compile(r"l0[_-](\d+|[a-z]+)", re.IGNORECASE)
_MOST_FILES = 200_000


@dataclass(frozen=True, kw_only=True)
class Found:
    """One SAE found among the files of a folder or repository."""

    format: str
    path: str
    """Folder or file of the SAE; empty for the root folder."""


def found_in(paths: Collection[str]) -> list[Found]:
    """The SAEs among these files, in the order of their paths."""
    held = set(paths)
    found = {one.path: one for path in sorted(held) if (one := _at(path, held)) is not None}
    return [found[path] for path in sorted(found)]


def files_in(folder: Path) -> list[str]:
    """Paths of the files below a folder, without hidden folders (those of download tools).

    Raises:
        AuditError: There are more files than a set of SAEs can have, or a folder cannot be read.
    """
    found: list[str] = []
    seen: set[str] = set()

    def failed(error: OSError) -> None:
        if error.filename == str(folder):
            raise AuditError(f"{shown(folder)} cannot be read: {error.strerror}.") from error

    for place, folders, names in os.walk(folder, onerror=failed, followlinks=True):
        # Links are followed, but each folder is visited once: a link may lead back up.
        seen.add(os.path.realpath(place))
        inside = Path(place).relative_to(folder)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(Path(place) / name) not in seen
        )
        found += [(inside / name).as_posix() for name in names]
        if len(found) > _MOST_FILES or len(seen) > _MOST_FILES:
            raise AuditError(
                f"{shown(folder)} holds more than {_MOST_FILES:,} files; name the folder of the SAEs."
            )
    return found


def joined(path: str, file: str) -> str:
    """Path of the file `file` of the SAE at `path`."""
    return f"{path}/{file}" if path else file


def is_of_other_stream(name: str) -> bool:
    """Whether a name says that the SAE reads another hook point than a layer's output."""
    return _OTHER_STREAMS.search(name) is not None


def check_stream(one: Found, name: str, what: str) -> None:
    """Refuse an SAE whose name says that it reads another hook point, if its config says none.

    Raises:
        AuditError: The name says so.
    """
    # Formats with a config name their hook point; for the others the name alone tells.
    says_hook = one.format in {"sae_lens", "llama_scope", "llama_scope_r1_distill"}
    if not says_hook and is_of_other_stream(name):
        raise AuditError(
            f"The SAE {what} reads another stream than the residual one, as its name says; an "
            "audit reads the output of layers (hook_resid_post)."
        )


def layer_in(name: str) -> int | None:
    """The layer number in a name."""
    for pattern in _LAYERS:
        match = pattern.search(name)
        if match is not None and len(match[1]) < 6:
            return int(match[1])
    return None


def layer_above(folder: Path) -> int | None:
    """The layer at the start of the folder's name, or of one of the two above it (`layer_16`)."""
    found = [_FOLDER_OF_LAYER.match(name) for name in folder.parts[:-4:-1]]
    return next((int(match[1]) for match in found if match is not None), None)


def l0_in(name: str) -> str | None:
    """The L0 in a name: a number or the publisher's word."""
    found = _L0.findall(name)
    return found[-1] if found else None


def _at(path: str, held: set[str]) -> Found | None:
    folder, _, name = path.rpartition("/")

    def has(file: str) -> bool:
        return joined(folder, file) in held

    match name:
        case "cfg.json":
            return Found(format="sparsify" if has("sae.safetensors") else "sae_lens", path=folder)
        case "params.npz":
            return Found(format="gemma_2", path=folder)
        case "params.safetensors":
            return Found(format="gemma_3", path=folder)
        case "hyperparams.json" if has("checkpoints/final.safetensors"):
            return Found(format="llama_scope", path=folder)
        case "config.json" if has("ae.pt"):
            return Found(format="dictionary_learning_1", path=folder)
        case "config.json" if has("sae_weights.safetensors") and not has("cfg.json"):
            return Found(format="llama_scope_r1_distill", path=folder)
        case _:
            formats = (format for format, shape in _ONE_FILE if shape.fullmatch(name))
            format = next(formats, None)
            return None if format is None else Found(format=format, path=path)
