"""The small files of a job directory, and what is on disk."""
