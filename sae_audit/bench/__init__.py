"""Benchmark of every method against models with known answers (docs/validation.md)."""
