"""A checkpoint and its adapter, from where they lie into memory, checked on the way."""
