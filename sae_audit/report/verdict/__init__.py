"""What one audit says in one reading: a verdict, at most five figures, and what to do next."""
