"""The SAE suite: one sae_lens SAE per audited layer, checked against the model when loaded."""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sae_audit.errors import AuditError
from sae_audit.subject.hashing import sha256_of_files

_LAYER_IN_NAME = re.compile(r"(?:layers?|blocks)[_.\-]?(\d+)|^l?(\d+)", re.IGNORECASE)
_ELEMENTWISE = {"standard", "jumprelu"}
"""Kinds whose feature i reads nothing but encoder column i."""

Columns = Callable[
    [Float[Tensor, "batch position d_model"]], Float[Tensor, "batch position feature"]
]


class Dictionary:
    """One layer's SAE: what the audit needs of it and nothing else."""

    def __init__(self, sae: Any, *, layer: int, id: str, sha256: str) -> None:
        self.sae = sae
        self.layer = layer
        self.id = id
        self.sha256 = sha256
        self.architecture: str = sae.cfg.architecture()
        self.d_sae: int = sae.cfg.d_sae
        self.hook_name: str = sae.cfg.metadata.hook_name
        self.elementwise = (
            self.architecture in _ELEMENTWISE and sae.cfg.normalize_activations == "none"
        )
        """Whether single features can be encoded and decoded apart from all others."""

    @property
    def decoder(self) -> Float[Tensor, "d_sae d_model"]:
        return self.sae.W_dec

    def encode(
        self, resid: Float[Tensor, "batch position d_model"]
    ) -> Float[Tensor, "batch position d_sae"]:
        return self.sae.encode(resid.to(self.sae.dtype))

    def decode(
        self,
        activations: Float[Tensor, "batch position d_sae"],
        resid: Float[Tensor, "batch position d_model"],
    ) -> Float[Tensor, "batch position d_model"]:
        """The reconstruction of `resid` from `activations`, in the stream's own scale."""
        if self.sae.cfg.normalize_activations not in ("none", "expected_average_only_in"):
            # These kinds undo the scale of the input seen last, and forget it when they have.
            self.sae.process_sae_in(resid.to(self.sae.dtype))
        return self.sae.decode(activations)

    def encode_columns(self, index: Int[Tensor, " feature"]) -> Columns:
        """A function from the stream to the activations of these features alone.

        Equal to `encode(resid)[..., index]`; touches only the features' own weights.
        """
        assert self.elementwise, self.architecture
        sae = self.sae
        weights, bias = sae.W_enc[:, index], sae.b_enc[index]
        threshold = sae.threshold[index] if self.architecture == "jumprelu" else None

        def columns(
            resid: Float[Tensor, "batch position d_model"],
        ) -> Float[Tensor, "batch position feature"]:
            pre = sae.process_sae_in(resid.to(sae.dtype)) @ weights + bias
            activations = sae.activation_fn(pre)
            return activations if threshold is None else activations * (pre > threshold)

        return columns


def load_suite(
    folder: Path, *, n_layers: int, d_model: int, layers: Iterable[int] | None, device: str
) -> dict[int, Dictionary]:
    """One SAE per layer from the subfolders of `folder`, each in sae_lens' own format.

    Raises:
        AuditError: no such folder, no SAE in it, an asked-for layer without one, or an SAE whose
            hook or width does not fit the model.
    """
    found = _folders_by_layer(folder)
    wanted = sorted(found) if layers is None else sorted(set(layers))
    suite: dict[int, Dictionary] = {}
    for layer in wanted:
        if layer not in found:
            raise AuditError(
                f"No SAE for layer {layer} in {folder}; it has layers {sorted(found)}. Audit those "
                "(layers), or add a folder layer_" + f"{layer}."
            )
        if layer >= n_layers:
            raise AuditError(
                f"{found[layer]} names layer {layer}, but the model has layers 0 to {n_layers - 1}; "
                "these SAEs were made for another model."
            )
        suite[layer] = _load_one(found[layer], layer=layer, d_model=d_model, device=device)
    return suite


def _folders_by_layer(folder: Path) -> dict[int, Path]:
    if not folder.is_dir():
        raise AuditError(
            f"No SAE folder {folder}; give a folder that holds layer_0, layer_1, ... in sae_lens' "
            "format (cfg.json and sae_weights.safetensors)."
        )
    found: dict[int, Path] = {}
    for config in sorted(folder.glob("*/cfg.json")):
        match = _LAYER_IN_NAME.search(config.parent.name)
        if match is None:
            raise AuditError(
                f"{config.parent} holds an SAE, but its name holds no layer; name it layer_0, "
                "layer_1, ..."
            )
        layer = int(match[1] or match[2])
        if layer in found:
            raise AuditError(
                f"{found[layer]} and {config.parent} are both SAEs for layer {layer}; keep one."
            )
        found[layer] = config.parent
    if not found:
        raise AuditError(
            f"{folder} holds no SAE: no subfolder has a cfg.json. Name the folders layer_0, layer_1, "
            "... and save each SAE with sae.save_model(...)."
        )
    return found


def _load_one(folder: Path, *, layer: int, d_model: int, device: str) -> Dictionary:
    # Checked before the weights are read: the answer is in cfg.json, and sae_lens costs seconds.
    try:
        config = json.loads((folder / "cfg.json").read_text())
    except json.JSONDecodeError as error:
        raise AuditError(f"{folder / 'cfg.json'} is not JSON ({error.msg}).") from error
    width = config.get("d_in")
    if width != d_model:
        raise AuditError(
            f"The SAE in {folder} reads {width} dimensions, but the model's residual stream has "
            f"{d_model}; these SAEs were made for another model."
        )
    hook = config.get("metadata", {}).get("hook_name")
    expected = {f"blocks.{layer}.hook_resid_post", f"model.layers.{layer}"}
    if hook not in expected:
        raise AuditError(
            f"The SAE in {folder} names the hook {hook!r}, but an audit reads "
            f"blocks.{layer}.hook_resid_post; use residual-stream SAEs, or, if it is one, write "
            "that name under metadata.hook_name in its cfg.json."
        )
    from sae_lens import SAE

    try:
        sae = SAE.load_from_disk(folder, device=device)
    except (FileNotFoundError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise AuditError(
            f"sae_lens cannot read the SAE in {folder}: {error or type(error).__name__}"
        ) from error
    sae.requires_grad_(requires_grad=False)
    return Dictionary(
        sae.eval(),
        layer=layer,
        id=folder.name,
        sha256=sha256_of_files(sorted(folder.glob("*.safetensors"))),
    )


def decoder_cosines(
    dictionary: Dictionary, direction: Float[Tensor, " d_model"]
) -> Float[Tensor, " d_sae"]:
    """Cosine of every decoder row with `direction`."""
    rows = torch.nn.functional.normalize(dictionary.decoder.float(), dim=-1)
    return rows @ torch.nn.functional.normalize(direction.float(), dim=0)
