"""The small files of a job directory, and what stands on disk."""
