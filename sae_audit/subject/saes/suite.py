"""The SAE suite: one sae_lens SAE per audited layer, checked against the model when loaded."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch

from sae_audit.errors import AuditError
from sae_audit.subject.saes.files import SaeConfig, read_sae, sae_config
from sae_audit.subject.saes.places import SaePlace
from sae_audit.subject.saes.sae import COLUMNWISE, WHOLE, Sae
from sae_audit.untrusted import shown

_SHARE_OF_DEVICE = 0.5
"""Share of a device's free memory for whole SAEs; above it they are kept in host memory."""


def load_suite(
    places: Sequence[SaePlace],
    configs: Mapping[int, SaeConfig],
    *,
    n_layers: int,
    d_model: int,
    devices: Mapping[int, str],
    dtype: str = "auto",
    memory: Literal["auto", "device", "host"] = "auto",
) -> dict[int, Sae]:
    """The SAEs at these places, one after the other; `devices` gives the device of each layer.

    Raises:
        AuditError: An SAE cannot be read, or contradicts its config.
    """
    on_host = memory == "host" or (memory == "auto" and not _fit(configs, devices, dtype))
    suite: dict[int, Sae] = {}
    for place in places:
        device = devices[place.layer]
        parked = on_host and device != "cpu"
        sae, sha256 = read_sae(place, device="cpu" if parked else device, dtype=dtype)
        suite[place.layer] = Sae(
            sae,
            layer=place.layer,
            id=place.id,
            release=place.release,
            repository=place.held.repository.name if place.held is not None else "",
            revision=place.held.commit if place.held is not None else "",
            sha256=sha256,
            device=device if parked else None,
        )
        check_suite({place.layer: suite[place.layer]}, n_layers=n_layers, d_model=d_model)
    return suite


def matrix_bytes(config: SaeConfig, dtype: str) -> int:
    """Bytes of an SAE's encoder and decoder matrices in memory."""
    itemsize = 2 if dtype in ("bfloat16", "float16") else 4
    return 2 * config.width * config.d_model * itemsize


def _fit(configs: Mapping[int, SaeConfig], devices: Mapping[int, str], dtype: str) -> bool:
    wanted: dict[str, int] = {}
    for layer, config in configs.items():
        device = devices[layer]
        wanted[device] = wanted.get(device, 0) + matrix_bytes(config, dtype)
    return all(
        torch.device(device).type != "cuda"
        or n_bytes <= _SHARE_OF_DEVICE * torch.cuda.mem_get_info(torch.device(device))[0]
        for device, n_bytes in wanted.items()
    )


def checked_configs(
    places: Sequence[SaePlace], *, n_layers: int, d_model: int
) -> dict[int, SaeConfig]:
    """The SAE configs by layer, read before any weights.

    Raises:
        AuditError: An SAE was made for another model, or its config cannot be read.
    """
    configs = {place.layer: sae_config(place) for place in places}
    for place in places:
        check_place(place, configs[place.layer], n_layers=n_layers, d_model=d_model)
    return configs


def check_place(place: SaePlace, config: SaeConfig, *, n_layers: int, d_model: int) -> None:
    """Refuse an SAE that was made for another model, judged by its config alone.

    Raises:
        AuditError: A layer the model lacks, or another width, hook or kind.
    """
    what = f"The SAE {place}"
    if place.layer >= n_layers:
        raise AuditError(
            f"{what} is for layer {place.layer}, but the model has layers 0 to {n_layers - 1}; "
            "these SAEs were made for another model."
        )
    if config.d_model != d_model:
        raise AuditError(
            f"{what} reads {config.d_model} dimensions, but the model's residual stream has "
            f"{d_model}; these SAEs were made for another model."
        )
    _check_hook(config.hook, place.layer, what)
    _check_architecture(config.architecture, what)


def check_suite(suite: Mapping[int, Sae], *, n_layers: int, d_model: int) -> None:
    """Refuse SAEs that contradict the model or the layer they are assigned to.

    Raises:
        AuditError: A layer the model lacks, or another width, hook or kind.
    """
    for layer, sae in sorted(suite.items()):
        what = f"The SAE given for layer {layer}"
        if not 0 <= layer < n_layers:
            raise AuditError(f"{what} has no place: the model has layers 0 to {n_layers - 1}.")
        width = sae.decoder.shape[1]
        if width != d_model:
            raise AuditError(
                f"{what} reads {width} dimensions, but the model's residual stream has {d_model}; "
                "it was made for another model."
            )
        _check_hook(sae.hook_name, layer, what)
        _check_kind(sae.sae, what)


def _check_hook(hook: str | None, layer: int, what: str) -> None:
    if hook not in {f"blocks.{layer}.hook_resid_post", f"model.layers.{layer}"}:
        raise AuditError(
            f"{what} names the hook {shown(hook)!r}, but an audit reads "
            f"blocks.{layer}.hook_resid_post; use residual-stream SAEs, or, if it is one, write "
            "that name under metadata.hook_name in its cfg.json."
        )


def _check_architecture(kind: str, what: str) -> None:
    if kind not in COLUMNWISE | WHOLE:
        raise AuditError(
            f"{what} is of kind {shown(kind, 60)!r}; an audit ablates features of standard, gated, "
            "jumprelu (batch-top-k ones are saved as that) and topk SAEs."
        )


def _check_kind(sae: Any, what: str) -> None:
    _check_architecture(sae.cfg.architecture(), what)
    wrong = {
        name: weights.dtype
        for name, weights in sae.named_parameters()
        if weights.dtype != sae.dtype or not weights.dtype.is_floating_point
    }
    if wrong:
        name, dtype = next(iter(wrong.items()))
        raise AuditError(
            f"{what} holds {name} as {dtype}, but its cfg.json says {sae.dtype}; save "
            "all of it in one floating-point type."
        )
