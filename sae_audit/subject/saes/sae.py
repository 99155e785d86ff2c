"""One layer's SAE for ablation: reads single encoder columns and decoder rows."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sae_audit.vocabulary import FeatureValues

_KEPT_GATHERS = 16
"""Number of feature selections whose gathered weights an SAE caches; a stage asks with few."""
COLUMNWISE = {"standard", "jumprelu", "gated"}
"""Architectures in which feature i reads only encoder column i."""
_MATRICES = ("W_enc", "W_dec")
WHOLE = {"topk"}
"""Architectures whose features compete: which of them fire depends on all of them."""


class Activations(NamedTuple):
    """Activations of some features of one SAE on a residual stream."""

    values: Float[Tensor, "batch position feature"]
    scale: Float[Tensor, "batch position 1"] | None
    """Factor of a decoder row in the residual stream, if the SAE rescales its input."""


class Sae:
    """One layer's SAE, with the operations that the audit needs."""

    def __init__(
        self,
        sae: Any,
        *,
        layer: int,
        id: str,
        sha256: str,
        release: str = "",
        repository: str = "",
        revision: str = "",
        device: str | torch.device | None = None,
    ) -> None:
        """`release`, `repository` and `revision` (a commit) record the source of the SAE.

        If `device` is given, encoder and decoder matrices stay in host memory and the computation
        runs on the device: single rows move there on request, whole matrices to encode or decode.
        """
        self.sae = sae
        self.kept_on_host = device is not None
        if device is not None:
            for name, weights in sae.named_parameters():
                if name not in _MATRICES:
                    weights.data = weights.data.to(device)
        self.layer = layer
        self.id = id
        self.sha256 = sha256
        self.release = release
        self.repository = repository
        self.revision = revision
        self.architecture: str = sae.cfg.architecture()
        self.d_sae: int = sae.cfg.d_sae
        self.hook_name: str = sae.cfg.metadata.hook_name
        self.columnwise = self.architecture in COLUMNWISE
        """Whether single features can be encoded separately."""
        self._gathered: OrderedDict[tuple[int, ...], tuple[Tensor, ...]] = OrderedDict()

    @property
    def settings_sha256(self) -> str:
        """Hash of every setting in the SAE's config, as parsed."""
        settings = json.dumps(self.sae.cfg.to_dict(), sort_keys=True, default=str)
        return hashlib.sha256(settings.encode()).hexdigest()

    @property
    def decoder(self) -> Float[Tensor, "d_sae d_model"]:
        return self.sae.W_dec.to(self.device)

    @property
    def dtype(self) -> torch.dtype:
        return self.sae.dtype

    @property
    def device(self) -> torch.device:
        """Device of the computation; whole matrices may be in host memory."""
        return self.sae.b_dec.device

    def encode(
        self, resid: Float[Tensor, "batch position d_model"]
    ) -> Float[Tensor, "batch position d_sae"]:
        with self._on_device():
            return self.sae.encode(resid.to(self.sae.dtype))

    def decode(
        self,
        activations: Float[Tensor, "batch position d_sae"],
        resid: Float[Tensor, "batch position d_model"],
    ) -> Float[Tensor, "batch position d_model"]:
        """The reconstruction of `resid` from `activations`, in the residual stream's own scale."""
        if self._rescales:
            # These architectures undo the scale of their last input, and drop it afterwards.
            self.sae.process_sae_in(resid.to(self.sae.dtype))
        with self._on_device():
            return self.sae.decode(activations)

    def read(
        self, resid: Float[Tensor, "batch position d_model"], features: Sequence[int]
    ) -> Activations:
        """The activations of these features: `encode(resid)[..., features]`.

        Reads only the features' own encoder columns, unless features compete (top-k).
        """
        if not self.columnwise:
            values = self.encode(resid)[..., list(features)]
            return Activations(values, self.scale(resid))
        weights, bias, threshold, magnitude, magnitude_bias, _ = self._gather(features)
        read = self.sae.process_sae_in(resid.to(self.sae.dtype))
        pre = read @ weights + bias
        if self.architecture == "gated":
            values = self.sae.activation_fn(read @ magnitude + magnitude_bias) * (pre > 0)
        else:
            values = self.sae.activation_fn(pre)
        if self.architecture == "jumprelu":
            values = values * (pre > threshold)
        return Activations(values, self._scale_seen())

    def thresholds(self, features: Sequence[int]) -> Float[Tensor, " feature"]:
        """Activation at which each feature begins to fire: JumpReLU's threshold; else 0."""
        if self.architecture == "jumprelu":
            return self.sae.threshold[list(features)]
        return torch.zeros(len(features), dtype=self.dtype, device=self.device)

    def read_scale(
        self, resid: Float[Tensor, "batch position d_model"], features: Sequence[int]
    ) -> Float[Tensor, "batch position feature"]:
        """`sqrt(sum_j w_j^2 x_j^2)`: how much a feature's pre-activation moves, relative to errors that
        are independent and proportional to each element of the stream."""
        scale = self.scale(resid)
        stream = resid.float() if scale is None else resid.float() / scale.float()
        columns = self.sae.W_enc[:, list(features)].to(self.device).float()
        return (stream.square() @ columns.square()).sqrt()

    def rows(self, features: Sequence[int]) -> Float[Tensor, "feature d_model"]:
        """Contribution of one unit of each feature's activation to the reconstruction."""
        return self._gather(features)[-1]

    def decoder_rows(self, features: Sequence[int]) -> Float[Tensor, "feature d_model"]:
        """Decoder rows as stored; unlike `rows`, they are not cached."""
        return self.sae.W_dec[list(features)].to(self.device)

    def unit_rows(self) -> Float[Tensor, "d_sae d_model"]:
        """`rows` of every feature."""
        rows = self.decoder
        if getattr(self.sae.cfg, "rescale_acts_by_decoder_norm", False):
            return rows / rows.norm(dim=-1, keepdim=True)
        return rows

    def clamps(self, clamp: float | FeatureValues) -> Float[Tensor, " d_sae"]:
        """Activation that each feature is set to when ablated."""
        if isinstance(clamp, float | int):
            return torch.full((self.d_sae,), float(clamp), dtype=self.dtype, device=self.device)
        own = np.asarray(clamp[self.layer])
        return torch.tensor(own, dtype=self.dtype, device=self.device)

    @contextmanager
    def _on_device(self) -> Iterator[None]:
        """Context in which the whole SAE is on the device of the computation."""
        if not self.kept_on_host:
            yield
            return
        here = {name: getattr(self.sae, name).data for name in _MATRICES}
        try:
            for name, matrix in here.items():
                getattr(self.sae, name).data = matrix.to(self.device, copy=True)
            yield
        finally:
            for name, matrix in here.items():
                getattr(self.sae, name).data = matrix

    @property
    def _rescales(self) -> bool:
        return self.sae.cfg.normalize_activations in ("layer_norm", "constant_norm_rescale")

    def scale(
        self, resid: Float[Tensor, "batch position d_model"]
    ) -> Float[Tensor, "batch position 1"] | None:
        """Factor of a decoder row in this residual stream; None if it is 1."""
        if self._rescales:
            self.sae.process_sae_in(resid.to(self.sae.dtype))
        return self._scale_seen()

    def _scale_seen(self) -> Float[Tensor, "batch position 1"] | None:
        # Between encode and decode, sae_lens keeps the scale of the last input on the module.
        match self.sae.cfg.normalize_activations:
            case "layer_norm":
                return self.sae.ln_std
            case "constant_norm_rescale":
                return 1.0 / self.sae.x_norm_coeff
            case _:
                return None

    def _gather(self, features: Sequence[int]) -> tuple[Tensor, ...]:
        key = tuple(features)
        if key not in self._gathered:
            self._gathered[key] = self._gathered_now(list(key))
            if len(self._gathered) > _KEPT_GATHERS:
                self._gathered.popitem(last=False)
        self._gathered.move_to_end(key)
        return self._gathered[key]

    def _gathered_now(self, index: list[int]) -> tuple[Tensor, ...]:
        sae, none = self.sae, torch.empty(0)
        rows = sae.W_dec[index].to(self.device)
        if getattr(sae.cfg, "rescale_acts_by_decoder_norm", False):
            rows = rows / rows.norm(dim=-1, keepdim=True)
        if self.architecture == "gated":
            weights = sae.W_enc[:, index].to(self.device)
            magnitude = weights * sae.r_mag[index].exp()
            return weights, sae.b_gate[index], none, magnitude, sae.b_mag[index], rows
        if self.architecture in WHOLE:
            return none, none, none, none, none, rows
        threshold = sae.threshold[index] if self.architecture == "jumprelu" else none
        weights = sae.W_enc[:, index].to(self.device)
        return weights, sae.b_enc[index], threshold, none, none, rows


def decoder_cosines(
    sae: Sae, directions: Float[Tensor, "direction d_model"]
) -> Float[Tensor, "direction d_sae"]:
    """Cosine of every decoder row with each direction."""
    rows = torch.nn.functional.normalize(sae.decoder.float(), dim=-1)
    return torch.nn.functional.normalize(directions.float().to(rows.device), dim=-1) @ rows.T


def row_norms(sae: Sae) -> Float[Tensor, " d_sae"]:
    """Norm of every feature's addition to the reconstruction per unit of activation."""
    return sae.unit_rows().float().norm(dim=-1)
