"""Comparison of two checkpoints audited alike: refusal that the second lost or gained."""

from sae_audit.comparison.comparison import compare
from sae_audit.comparison.types import Comparison

__all__ = ["Comparison", "compare"]
