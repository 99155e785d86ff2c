"""What is read off the last position's logits: the refusal score and its tokens."""
