"""Ablating, adding and freezing on the residual stream, in fast and in literal implementations."""
