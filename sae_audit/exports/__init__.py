"""A finished run in the forms that other programs read; none holds the text of a prompt unless asked."""
