"""Organisms trained further from the bundled one: a dial of redundancy, and a safety team's cases."""
