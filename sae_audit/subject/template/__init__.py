"""From a prompt to token ids: chat templates, rendered in a process of their own."""
