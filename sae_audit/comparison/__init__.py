"""Two checkpoints, audited alike: what the second lost or gained."""

from sae_audit.comparison.comparison import Comparison, compare

__all__ = ["Comparison", "compare"]
