"""How well the audit itself works, measured on models whose answer is known."""
