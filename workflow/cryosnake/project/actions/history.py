"""How jobs are connected: what a job was made from, what was made from it, and the jobs between two."""

from __future__ import annotations

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.model import Pipeline


def ancestors(pipeline: Pipeline, name: str, depth: int | None = None) -> list[str]:
    """Return the jobs that a job depends on, up to `depth` steps away (None: all), each after those it depends on.

    Job names are RELION's, with a slash at the end ("MotionCorr/job002/").
    """
    return in_order(pipeline, pipeline.ancestors(name, depth))


def descendants(pipeline: Pipeline, name: str, depth: int | None = None) -> list[str]:
    """Return the jobs that depend on a job, up to `depth` steps away (None: all), each after those it depends on."""
    return in_order(pipeline, pipeline.descendants(name, depth))


def between(pipeline: Pipeline, first: str, last: str) -> list[str]:
    """Return the jobs on all paths between two jobs, both included; their order does not matter.

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
    """Return jobs in the order of their numbers, but each after those of them that it depends on."""
    left = sorted(names, key=lambda name: (pipeline.processes[name].number, name))
    ordered: list[str] = []
    while left:
        ready = next((name for name in left if not set(pipeline.parents(name)) & set(left)), left[0])  # cycles: any
        ordered.append(ready)
        left.remove(ready)
    return ordered
