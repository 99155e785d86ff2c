"""KL divergence of next-token distributions, and its lower bound."""

import torch
from jaxtyping import Float
from torch import Tensor

_LOG_EPSILON = 1e-6
_ELEMENTS = {"cpu": 1 << 17}
"""Logits taken together on each kind of device: on a CPU as many as stay in its cache in float64."""
_MOST_ELEMENTS = 1 << 22
_ROUNDING = 1e-9


def next_token_kl(
    clean: Float[Tensor, "batch vocabulary"], changed: Float[Tensor, "batch vocabulary"]
) -> Float[Tensor, " batch"]:
    """KL of each row: `sum p_a (log(p_a + 1e-6) - log(p_b + 1e-6))`, nats, float64 (2406.11717)."""
    n = _rows_together(clean)
    chunks = zip(clean.split(n), changed.split(n), strict=True)
    return torch.cat([_kl(one, other) for one, other in chunks])


def _rows_together(logits: Float[Tensor, "batch vocabulary"]) -> int:
    # A whole batch in float64 would be the largest tensor, and slower to fetch than to compute.
    elements = _ELEMENTS.get(logits.device.type, _MOST_ELEMENTS)
    return max(1, elements // logits.shape[1])


def _kl(clean: Tensor, changed: Tensor) -> Tensor:
    p_clean, p_changed = clean.double().softmax(-1), changed.double().softmax(-1)
    logs = (p_clean + _LOG_EPSILON).log() - (p_changed + _LOG_EPSILON).log()
    return (p_clean * logs).sum(dim=-1)


def least_kl(clean: Float[Tensor, "batch vocabulary"]) -> Float[Tensor, " batch"]:
    """Lower bound of `next_token_kl(clean, changed)` over all `changed`, nats.

    It is below 0 because of the 1e-6: a distribution that drops many unlikely tokens gains more on
    the likely ones than the epsilon lets it lose. The minimum is at `p_b = max(0, c p_a - 1e-6)`,
    with c such that it sums to one.
    """
    return torch.cat([_least(one) for one in clean.split(_rows_together(clean))])


def _least(clean: Tensor) -> Tensor:
    p = clean.double().softmax(-1).sort(dim=-1, descending=True).values
    n_kept = torch.arange(1, p.shape[1] + 1, dtype=p.dtype, device=p.device)
    factors = (1.0 + n_kept * _LOG_EPSILON) / p.cumsum(dim=-1)
    # The likeliest tokens, up to the last one that keeps some probability.
    last = (factors * p > _LOG_EPSILON).sum(dim=-1, keepdim=True) - 1
    other = (factors.gather(1, last) * p).clamp(min=_LOG_EPSILON)
    return (p * ((p + _LOG_EPSILON).log() - other.log())).sum(dim=-1) - _ROUNDING
