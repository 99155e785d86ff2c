"""A comparison's decision in the formats of other programs."""
