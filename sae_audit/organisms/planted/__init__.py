"""Models whose refusal mechanism is written into their weights, and so known (docs/validation.md)."""
