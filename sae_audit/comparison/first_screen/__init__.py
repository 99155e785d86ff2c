"""The first screen of a comparison: one verdict, its reasons, what to do next."""
