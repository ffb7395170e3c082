"""Panels of jobs whose result is no picture: a picker that was learned, tables that were joined."""

from __future__ import annotations

import re

from cryosnake.io.star_rows import count_rows
from cryosnake.pages.blocks.panel import DOUBTFUL, GOOD, Panel, Table
from cryosnake.pages.panels.view import JobView
from cryosnake.project.actions.job_details import log_tail

_TELLS_APART = 90  # %: below, other places look like particles to the picker
_JOINED = ("join_particles.star", "join_mics.star", "join_movies.star")


def picker(job: JobView) -> Panel | None:
    """Return what a picker was learned from, and how well it tells particles from other places."""
    log = [line.strip() for line in log_tail(str(job.path), 40)]
    learned = next((line for line in reversed(log) if line.startswith("learning from")), "")
    tested = next((line for line in reversed(log) if "scores higher than" in line), "")
    if not job.has("picker.npz") or not (learned or tested):
        return None
    found = re.search(r"(\d+)% of all other places", tested)
    level = "" if not found else GOOD if int(found[1]) >= _TELLS_APART else DOUBTFUL
    return Panel(title="Learned picker", verdict=f"{_sentence(learned)} {_sentence(tested)}".strip(), level=level,
                 wide=True, caption="Good: a particle scores higher than nearly all other places of micrographs that "
                 "were not learned from. Bad: fewer than nine in ten; then pick more particles, and all of those on "
                 "each micrograph, or check the diameter.")


def joined(job: JobView) -> Panel | None:
    """Return how many rows of each table are in the one that was made of them."""
    out = next((name for name in _JOINED if job.has(name)), "")
    sources = [value for slot, value in job.values.items() if re.fullmatch(r"(particles|micrographs|movies)\d", slot)]
    if not out:
        return None
    counts = [count_rows(path) for path in sources]
    total = count_rows(job.path / out)
    left = sum(counts) - total
    left_out = f"; {left:,} left out that an earlier table had" if sources and left > 0 else ""
    rows = [(path, f"{count:,}") for path, count in zip(sources, counts, strict=True)]
    return Panel(title="Joined tables", verdict=f"{total:,} rows{left_out}.", wide=True,
                 caption="Tables that were made again since count with what they have now.",
                 blocks=[Table(titles=("table", "rows"), rows=rows)] if rows else [])


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}." if words else ""
