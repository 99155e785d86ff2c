"""Audit refusal in language models through sparse autoencoders."""
