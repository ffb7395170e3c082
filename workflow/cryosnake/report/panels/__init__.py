"""Panels: figures of a job's results."""
