"""Stage 1: the refusal direction."""

from sae_audit.direction.selection import select_direction
from sae_audit.findings import DirectionEvaluation

__all__ = ["DirectionEvaluation", "select_direction"]
