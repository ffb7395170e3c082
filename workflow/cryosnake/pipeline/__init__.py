"""RELION's project files as data: default_pipeline.star, job.star, the lock. Knows no plan."""
