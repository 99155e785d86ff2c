"""Models with a known refusal mechanism, written into their weights (docs/validation.md)."""
