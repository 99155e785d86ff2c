"""What the audit's questions cost."""

from dataclasses import dataclass


@dataclass
class CostMeter:
    """Counts passes as they are made. One pass is one prompt, with one ablation, through the model."""

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
