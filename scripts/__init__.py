"""Programs that keep the repository's own files true; none of them is part of the package."""
