"""Organisms made from the bundled one: a dial of redundancy, and variants a safety team meets."""
