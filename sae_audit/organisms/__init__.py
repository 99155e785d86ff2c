"""Models whose behaviour the project makes itself, with SAEs to audit them through."""
