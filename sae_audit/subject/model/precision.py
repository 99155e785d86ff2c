"""In which type a checkpoint is loaded if none is asked for."""

from dataclasses import dataclass

import torch

_SHARE = 0.8
"""Of the free memory that weights and what stands beside them may take in float32."""
_SPARE_BYTES = 2 << 30
"""For batches, remembered runs and the libraries."""
_SCRATCH = 1.1
"""Copies in another layout, as a share of weights and SAEs."""

OWN = "the checkpoint's own type"
"""The reason where memory played no part."""
ITEMSIZES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}


@dataclass(frozen=True, kw_only=True)
class Precision:
    """The type that weights are loaded in, and why it is that."""

    dtype: str
    """torch's name of it."""
    reason: str

    @property
    def itemsize(self) -> int:
        """Bytes of a weight, and of an activation."""
        return ITEMSIZES.get(self.dtype, 2)


def precision(
    asked: str,
    *,
    own: str,
    n_parameters: float,
    beside_bytes: float,
    device: str,
    placed: bool,
    quantized: bool,
    free_bytes: int,
) -> Precision:
    """The type asked for, or what `auto` means here.

    On a CPU that is float32 if it fits: bfloat16 and float16 round scores there as everywhere, and
    without instructions for them each pass takes several times longer. On other devices, where they
    are fast and memory is short, it is the checkpoint's `own`. `beside_bytes` is what SAEs take;
    `placed`: a device_map says where the weights lie; `quantized`: they are loaded in fewer bits;
    `free_bytes`: of the host's memory.
    """
    if asked != "auto":
        return Precision(dtype=asked, reason="asked for")
    own_type = OWN
    if quantized:
        return Precision(dtype=own, reason=f"{own_type}; its weights are quantised")
    if own not in ("bfloat16", "float16") or torch.device(device).type != "cpu":
        return Precision(dtype=own, reason=own_type)
    if placed:
        return Precision(dtype=own, reason=f"{own_type}; device_map says where its weights lie")
    needed = _SCRATCH * (4.0 * n_parameters + beside_bytes) + _SPARE_BYTES
    if needed > _SHARE * free_bytes:
        return Precision(
            dtype=own,
            reason=f"{own_type}; there is too little memory for float32, which rounds scores less",
        )
    slow = "" if has_instructions(own) else ", and this CPU has no instructions for it"
    return Precision(
        dtype="float32",
        reason=f"in place of the checkpoint's {own}, which rounds scores{slow}; there is memory for it",
    )


def has_instructions(dtype: str) -> bool:
    """Whether this CPU reckons in a type of 16 bits itself; False where that cannot be told."""
    names = {
        "bfloat16": ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"),
        "float16": ("avx512_fp16", "amx_fp16", "fp16_arith"),
    }
    try:
        found = torch.cpu.get_capabilities()
    except (AttributeError, RuntimeError):
        return _is_flagged(names[dtype])  # an older torch
    return any(found.get(name, False) for name in names[dtype])


def _is_flagged(names: tuple[str, ...]) -> bool:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            line = next((one for one in stream if one.startswith(("flags", "Features"))), "")
    except OSError:
        return False
    return not set(names).isdisjoint(line.split())
