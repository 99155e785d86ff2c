"""A pretrained chat model that hardly refuses, made to refuse: what it is asked and what it answers."""
