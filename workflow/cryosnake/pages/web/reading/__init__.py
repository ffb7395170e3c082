"""What pages read of projects on disk: files, images, tables, and what has changed."""
