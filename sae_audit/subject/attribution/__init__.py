"""Estimated effect of ablating each feature on the refusal score, by gradients."""
