"""How well the SAEs describe the model."""
