"""A checkpoint and its adapter, loaded into memory and checked."""
