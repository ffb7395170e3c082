"""Pages that only show."""
