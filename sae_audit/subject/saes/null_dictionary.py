"""Null dictionaries: SAEs of the same sizes and norms that have not learned what they are used for.

An audit that finds as much with them as with the real SAEs has found nothing about their features
(2602.14111).
"""

import copy
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sae_audit.findings import NullKind
from sae_audit.subject.saes.rotation import rotation, rotation_about
from sae_audit.subject.saes.sae import Sae

Rows = Float[Tensor, "d_sae d_model"]


def null_suite(
    suite: Mapping[int, Sae],
    kind: NullKind,
    direction: Float[np.ndarray, " d_model"],
    *,
    seed: tuple[int, ...],
) -> dict[int, Sae]:
    """An SAE in place of each of `suite`, drawn anew for each layer by `seed`.

    Thresholds and settings are the real SAE's; `direction` is what `kind` may keep. Rotations are about
    the decoder's bias: about the origin, features would read the mean of the stream from elsewhere, and
    a dictionary that hardly fires, or always does, is no null worth beating.
    """
    unit = torch.tensor(direction / np.linalg.norm(direction), dtype=torch.float32)
    return {
        layer: _twin(sae, kind, unit, np.random.default_rng([*seed, layer]))
        for layer, sae in suite.items()
    }


def _twin(
    sae: Sae, kind: NullKind, unit: Float[Tensor, " d_model"], draws: np.random.Generator
) -> Sae:
    columns, rows = sae.sae.W_enc.data, sae.sae.W_dec.data
    match kind:
        case NullKind.ROTATED:
            turn = rotation(len(unit), draws)
        case NullKind.ROTATED_ABOUT_DIRECTION:
            turn = rotation_about(unit, draws)
        case NullKind.RANDOM_ROWS | NullKind.SAME_COSINES:
            drawn = torch.from_numpy(draws.standard_normal(rows.shape, dtype=np.float32))
            drawn = drawn.to(rows.device)
            kept = kind is NullKind.SAME_COSINES
            along = rows.float() @ unit.to(rows.device) if kept else None
            return _with(sae, columns, _random_rows(rows, drawn, unit.to(rows.device), along))
        case NullKind.GIVEN:
            raise AssertionError("SAEs that are named are not drawn")
    turn = turn.to(columns.device)
    turned = turn @ columns.float()
    return _with(
        sae,
        turned.to(columns.dtype),
        (rows.float() @ turn.T).to(rows.dtype),
        _biases(sae, columns.float() - turned),
    )


def _biases(sae: Sae, lost: Float[Tensor, "d_model d_sae"]) -> dict[str, nn.Parameter]:
    """Encoder biases by which features read the decoder's bias as before, if `lost` is what encoder
    columns lost; none if the SAE subtracts that bias first."""
    own = sae.sae
    if own.cfg.apply_b_dec_to_input:
        return {}
    bias = own.b_dec.detach().float()
    shift = bias @ lost.to(bias.device)
    shifts = {"b_enc": shift, "b_gate": shift}
    if "r_mag" in own._parameters:
        shifts["b_mag"] = shift * own.r_mag.detach().float().exp()
    return {
        name: nn.Parameter((before.detach().float() + shifts[name]).to(before.dtype), False)
        for name, before in own._parameters.items()
        if name in shifts
    }


def _random_rows(
    rows: Rows,
    drawn: Rows,
    unit: Float[Tensor, " d_model"],
    along: Float[Tensor, " d_sae"] | None,
) -> Rows:
    """The drawn rows at the norms of `rows`, with `along` as their components along `unit`, if given."""
    norms = rows.float().norm(dim=1)
    if along is None:
        return (nn.functional.normalize(drawn, dim=1) * norms[:, None]).to(rows.dtype)
    across = nn.functional.normalize(drawn - (drawn @ unit)[:, None] * unit, dim=1)
    left = (norms**2 - along**2).clamp(min=0.0).sqrt()
    return (across * left[:, None] + along[:, None] * unit).to(rows.dtype)


def _with(
    sae: Sae, columns: Tensor, rows: Rows, biases: Mapping[str, nn.Parameter] | None = None
) -> Sae:
    """The SAE with other encoder columns, decoder rows and `biases`; all else is shared with the
    original."""
    twin = copy.copy(sae.sae)
    twin._parameters = {**sae.sae._parameters, **(biases or {})}
    twin.W_enc = nn.Parameter(columns, requires_grad=False)
    twin.W_dec = nn.Parameter(rows, requires_grad=False)
    return Sae(
        twin,
        layer=sae.layer,
        id=sae.id,
        sha256=sae.sha256,
        device=sae.device if sae.kept_on_host else None,
    )
