"""Tokens that may share one pass: set from free memory, halved if memory runs out."""

from collections.abc import Callable
from typing import Any, TypeVar

import psutil
import torch

from sae_audit.errors import AuditIncompleteError

T = TypeVar("T")

_SHARE_OF_FREE = 0.5
"""Share of the memory free at the start; the rest is for gathered weights, logits and fragmentation."""
_CACHE_BYTES = 64 << 20
"""Bytes of one layer's activations that fit a processor core's cache; larger batches are slower."""
ENCODING_COPIES = 4
"""Copies of all activations that are alive at once while sae_lens encodes."""
_FEWEST_TOKENS = 512
_MOST_TOKENS = 1 << 18


class Budget:
    """Number of tokens (rows times positions) that one pass through a layer may hold."""

    def __init__(self, tokens: int, bytes_per_token: int) -> None:
        self.tokens = tokens
        self._bytes_per_token = bytes_per_token

    @classmethod
    def of(cls, model: Any, asked: int | None) -> "Budget":
        """The budget asked for, or the one that fits the model's device."""
        per_token = bytes_per_token(model.config.get_text_config(), model.dtype.itemsize)
        return cls.for_memory(per_token, _free_bytes(model.device), model.device, asked)

    @classmethod
    def for_memory(
        cls, per_token: int, free: int, device: str | torch.device, asked: int | None
    ) -> "Budget":
        """The budget for a device with `free` bytes, at `per_token` bytes a token."""
        if asked is not None:
            return cls(asked, per_token)
        fitting = int(free * _SHARE_OF_FREE / per_token)
        if torch.device(device).type == "cpu":
            fitting = min(fitting, max(_FEWEST_TOKENS, _CACHE_BYTES // per_token))
        return cls(max(1, min(fitting, _MOST_TOKENS)), per_token)

    def tokens_encoding(self, d_sae: int) -> int:
        """Tokens of a pass in which an SAE of this width encodes every token."""
        encoding = ENCODING_COPIES * 4 * d_sae
        share = self._bytes_per_token / (self._bytes_per_token + encoding)
        return max(1, int(self.tokens * share))

    def attempt(self, work: Callable[[], T], *, divisible: bool) -> T | None:
        """The result of the work; None, with the budget halved, if memory runs out.

        Raises:
            AuditIncompleteError: memory runs out and the work is not `divisible`.
        """
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            if not divisible:
                raise AuditIncompleteError(
                    "Memory does not suffice for a single prompt under one ablation; use shorter "
                    "prompts, fewer layers (layers), a smaller dtype, or a device with more memory."
                ) from error
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.tokens = max(1, self.tokens // 2)
        return None


def bytes_per_token(config: Any, itemsize: int) -> int:
    """Bytes that one token needs in a layer's widest part, the feed-forward part."""
    wide = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    # Some configs give one width per layer.
    wide = max(wide) if isinstance(wide, list | tuple) else wide
    return itemsize * (3 * wide + 8 * config.hidden_size)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text
