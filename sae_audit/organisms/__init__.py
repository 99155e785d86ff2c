"""Model organisms: models with behaviour made by this project, and SAEs to audit them with."""
