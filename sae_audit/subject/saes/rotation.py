"""Random rotations of the residual stream, by which an SAE loses what it has learned of its axes."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sae_audit.subject.saes.sae import Sae

Rotation = Float[Tensor, "d_model d_model"]


def rotation(d_model: int, draws: np.random.Generator) -> Rotation:
    """A random orthogonal matrix, uniform over all of them."""
    q, r = torch.linalg.qr(torch.from_numpy(draws.standard_normal((d_model, d_model))))
    return (q * r.diagonal().sign()).float()


def rotation_about(unit: Float[Tensor, " d_model"], draws: np.random.Generator) -> Rotation:
    """A random orthogonal matrix that leaves the unit vector where it is."""
    d_model = len(unit)
    # The Householder reflection that takes the first axis to the vector, and back.
    normal = unit.double().clone()
    normal[0] -= 1.0
    mirror = torch.eye(d_model, dtype=torch.float64)
    if (length := normal.norm()) > 1e-9:
        normal /= length
        mirror -= 2.0 * torch.outer(normal, normal)
    turn = torch.eye(d_model, dtype=torch.float64)
    turn[1:, 1:] = rotation(d_model - 1, draws).double()
    return (mirror @ turn @ mirror).float()


@dataclass(frozen=True, eq=False)
class Turn:
    """A rotation about an SAE's decoder bias: the stream is turned, read by the SAE, and turned back."""

    matrix: Rotation

    def rebuilt(
        self, sae: Sae, resid: Float[Tensor, "batch position d_model"]
    ) -> Float[Tensor, "batch position d_model"]:
        """The reconstruction by the SAE with encoder columns and decoder rows rotated alike."""
        matrix, bias = self.matrix.to(sae.device), sae.sae.b_dec.float()
        turned = (bias + (resid.float() - bias) @ matrix).to(resid.dtype)
        return bias + (sae.decode(sae.encode(turned), turned).float() - bias) @ matrix.T


def turn_of(sae: Sae, *, seed: int) -> Turn:
    """A rotation for this SAE, drawn by seed and layer."""
    d_model = sae.sae.W_dec.shape[1]
    return Turn(rotation(d_model, np.random.default_rng([seed, sae.layer])))
