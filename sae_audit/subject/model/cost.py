"""Cost of an audit's questions, in forward passes and tokens."""

from dataclasses import dataclass


@dataclass
class CostMeter:
    """Running count of forward passes; one pass is one prompt under one ablation."""

    forward_passes: int = 0
    tokens: int = 0

    def count(self, *, batch: int, positions: int) -> None:
        self.forward_passes += batch
        self.tokens += batch * positions

    def since(self, earlier: "CostMeter") -> "CostMeter":
        return CostMeter(
            forward_passes=self.forward_passes - earlier.forward_passes,
            tokens=self.tokens - earlier.tokens,
        )

    def copy(self) -> "CostMeter":
        return CostMeter(forward_passes=self.forward_passes, tokens=self.tokens)
