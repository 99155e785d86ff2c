"""From a prompt to token ids: chat templates, rendered apart from everything else."""
