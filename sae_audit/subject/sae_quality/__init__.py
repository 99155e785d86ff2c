"""SAE quality: explained variance, L0 and recovered cross-entropy."""
