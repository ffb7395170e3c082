"""What a page says of a project, read from its files; nothing is written."""
