"""Rival methods, and tests whose answers are known exactly: what the audit's own are held against."""
