"""The model: its decoder layers, where they write to the residual stream, and forward passes."""
