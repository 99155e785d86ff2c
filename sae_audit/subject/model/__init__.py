"""The model itself: where its layers meet the residual stream, and passes through it."""
