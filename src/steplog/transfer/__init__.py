"""Moving runs between servers and files."""
