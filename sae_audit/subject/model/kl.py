"""How far one next-token distribution is from another, and how little it can be."""

import torch
from jaxtyping import Float
from torch import Tensor

_LOG_EPSILON = 1e-6
_ELEMENTS = 1 << 22
_ROUNDING = 1e-9


def next_token_kl(
    clean: Float[Tensor, "batch vocabulary"], changed: Float[Tensor, "batch vocabulary"]
) -> Float[Tensor, " batch"]:
    """`sum p_a (log(p_a + 1e-6) - log(p_b + 1e-6))`, nats, float64 (2406.11717)."""
    # Some rows at a time: in float64 a whole batch would be the largest tensor there is.
    n = max(1, _ELEMENTS // clean.shape[1])
    chunks = zip(clean.split(n), changed.split(n), strict=True)
    return torch.cat([_kl(one, other) for one, other in chunks])


def _kl(clean: Tensor, changed: Tensor) -> Tensor:
    p_clean, p_changed = clean.double().softmax(-1), changed.double().softmax(-1)
    logs = (p_clean + _LOG_EPSILON).log() - (p_changed + _LOG_EPSILON).log()
    return (p_clean * logs).sum(dim=-1)


def least_kl(clean: Float[Tensor, "batch vocabulary"]) -> Float[Tensor, " batch"]:
    """What `next_token_kl` of these distributions cannot fall below, whatever the other one is.

    Not 0, because of the 1e-6: a distribution that gives up what another one has in many unlikely
    words gains more on the likely ones than the epsilon lets it lose. The least is where
    `p_b = max(0, c p_a - 1e-6)`, with the c that makes it sum to one.
    """
    n = max(1, _ELEMENTS // clean.shape[1])
    return torch.cat([_least(one) for one in clean.split(n)])


def _least(clean: Tensor) -> Tensor:
    p = clean.double().softmax(-1).sort(dim=-1, descending=True).values
    n_kept = torch.arange(1, p.shape[1] + 1, dtype=p.dtype, device=p.device)
    factors = (1.0 + n_kept * _LOG_EPSILON) / p.cumsum(dim=-1)
    # As many words, from the likeliest on, as are left something.
    last = (factors * p > _LOG_EPSILON).sum(dim=-1, keepdim=True) - 1
    other = (factors.gather(1, last) * p).clamp(min=_LOG_EPSILON)
    return (p * ((p + _LOG_EPSILON).log() - other.log())).sum(dim=-1) - _ROUNDING
