"""Draws that depend on a text and a seed alone, the same in every process."""

import hashlib


def number(*parts: str | int) -> int:
    """A number that the parts decide, as good as drawn at random from 64 bits."""
    named = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(named.encode()).digest()[:8], "big")
