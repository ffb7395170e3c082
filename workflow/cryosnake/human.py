"""Sizes, ages and durations as people read them, and output that any terminal takes, for every layer."""

from __future__ import annotations

import io
import sys
import time

CLOCK_SLACK = 2.0  # seconds by which file systems' clocks may be ahead


def escape_what_terminals_lack() -> None:
    """Let what is printed have escapes for the letters that the terminal's encoding lacks, such as Å in ASCII."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def human_size(size: int) -> str:
    """Return 1536 as "1.5 kB"."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def human_age(changed: float) -> str:
    """Return how long ago a time was, in the largest fitting unit; a time in the future is marked."""
    seconds = time.time() - changed
    if seconds < -CLOCK_SLACK:
        return f"in {human_time(-seconds)} (clock?)"
    return f"{human_time(max(0.0, seconds))} ago"


def human_time(seconds: float) -> str:
    """Return 5400 as "1.5 h"."""
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.1f}".removesuffix(".0") + f" {unit}"
    return f"{seconds:.0f} s"
