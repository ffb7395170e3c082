"""HTML pages of a project."""
