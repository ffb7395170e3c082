"""RELION's schedules and schemes as a config."""
