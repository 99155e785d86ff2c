"""The dtype in which a checkpoint is loaded."""

from dataclasses import dataclass

import torch

_SHARE = 0.8
"""Largest share of the free memory that weights and SAEs may take in float32."""
_SPARE_BYTES = 2 << 30
"""Bytes kept free for batches, remembered runs and the libraries."""
_SCRATCH = 1.1
"""Memory of weights and SAEs with copies in another layout, as a multiple of their size."""

OWN = "the checkpoint's own type"
"""The reason if memory played no part."""
ITEMSIZES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}


@dataclass(frozen=True, kw_only=True)
class Precision:
    """The dtype that weights are loaded in, and the reason."""

    dtype: str
    """torch's name of the dtype."""
    reason: str

    @property
    def itemsize(self) -> int:
        """Bytes of a weight or an activation."""
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
    """The dtype asked for; for `auto`, the one chosen for this device and memory.

    On a CPU `auto` means float32 if it fits: 16-bit types round scores and, without instructions for
    them, take several times longer. On other devices, where 16 bits are fast and memory is short, it
    means the checkpoint's `own`. `beside_bytes` is the size of the SAEs; `placed`: a device_map places
    the weights; `quantized`: they are loaded in fewer bits; `free_bytes`: of the host's memory.
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
    """Whether this CPU has instructions for a 16-bit type; False if unknown."""
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
