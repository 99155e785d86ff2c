"""The audit as a whole: `audit.py` first."""
