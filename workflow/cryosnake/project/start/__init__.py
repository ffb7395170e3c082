"""A new project: what its movies say, and its first files."""
