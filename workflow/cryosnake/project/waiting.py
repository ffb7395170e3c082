"""Thresholds: a job that waits until its input has grown to a number of particles."""

from __future__ import annotations

from cryosnake.io.star_rows import count_rows


def particle_count(path: str) -> int:
    """Return the number of rows of the particles table of a STAR file, 0 when the file is not there."""
    return count_rows(path, ("particles",))
