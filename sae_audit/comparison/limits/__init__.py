"""Limits on what a variant may lose: read, measured, decided."""
