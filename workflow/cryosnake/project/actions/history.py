"""How jobs hang together: what a job was made from, what was made from it, and what lies between two."""

from __future__ import annotations

from collections.abc import Callable

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.model import Pipeline


def ancestors(pipeline: Pipeline, name: str, depth: int | None = None) -> list[str]:
    """Return the jobs that a job depends on, up to so many steps away (None: all), each after those it depends on.

    Job names are RELION's, with a slash at the end ("MotionCorr/job002/").
    """
    return in_order(pipeline, _within(name, pipeline.parents, depth))


def descendants(pipeline: Pipeline, name: str, depth: int | None = None) -> list[str]:
    """Return the jobs that depend on a job, up to so many steps away (None: all), each after those it depends on."""
    return in_order(pipeline, _within(name, pipeline.children, depth))


def between(pipeline: Pipeline, first: str, last: str) -> list[str]:
    """Return the jobs on all ways from one job to another, both included; the direction does not matter.

    Raises
    ------
    CryosnakeError
        when neither depends on the other
    """
    if first == last:
        return [first]
    for start, end in ((first, last), (last, first)):
        below = pipeline.descendants(start)
        if end in below:
            return in_order(pipeline, (below & pipeline.ancestors(end)) | {start, end})
    raise CryosnakeError(f"{first.rstrip('/')} and {last.rstrip('/')}: neither depends on the other; `cryosnake chain "
                         f"{first.rstrip('/')} --descendants` lists what depends on the first")


def in_order(pipeline: Pipeline, names: set[str]) -> list[str]:
    """Return jobs so that each stands after those of them that it depends on; else in the order of their numbers."""
    left = sorted(names, key=lambda name: (pipeline.processes[name].number, name))
    ordered: list[str] = []
    while left:
        ready = next((name for name in left if not set(pipeline.parents(name)) & set(left)), left[0])  # cycles: any
        ordered.append(ready)
        left.remove(ready)
    return ordered


def _within(start: str, neighbours: Callable[[str], list[str]], depth: int | None) -> set[str]:
    """Return what can be reached in at most `depth` steps, without the start."""
    seen, edge, steps = {start}, {start}, 0
    while edge and (depth is None or steps < depth):
        edge = {name for job in edge for name in neighbours(job)} - seen
        seen |= edge
        steps += 1
    return seen - {start}
