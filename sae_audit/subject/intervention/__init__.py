"""What ablating, adding and freezing do to the residual stream, fast and literally."""
