"""Every method against models whose answer is known (docs/validation.md)."""
