"""The branches of a job's history, as RELION's flowcharts draw them: one line of jobs upward, side inputs beside it.

From a job the line follows its main input (particles before micrographs before maps) to the job that made it, and so
on. References stand to the right, masks to the left, coordinates to the right, further inputs (of a join) below each
other to the right. What a side input was made from is a branch of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cryosnake.jobs.model import COORDINATES, HALF_MAP, MASK, MICROGRAPHS, MODEL, MOVIES, OPTIMISER, PARTICLES
from cryosnake.pipeline.model import Pipeline
from cryosnake.report.flowchart.chart import kind_of

LONGEST = 10  # boxes of one picture
_MAIN = tuple(node.relion3 for node in (PARTICLES, OPTIMISER, MODEL, MICROGRAPHS, MOVIES, HALF_MAP, COORDINATES))


@dataclass(frozen=True)
class SideInput:
    """An input beside the line: the job that made it ("" for a file from outside), the file, what it is, its side."""

    job: str
    file: str
    kind: str
    left: bool


@dataclass(frozen=True)
class Step:
    """One box of a branch, from the bottom up: a job, its side inputs, and what reaches it from the step above."""

    job: str  # "" for a file from outside at the top
    file: str
    arrives: str
    sides: tuple[SideInput, ...]


@dataclass(frozen=True)
class Branch:
    """A line of steps, the job asked for first. `goes_on` is the job at which another picture continues."""

    steps: tuple[Step, ...]
    goes_on: str = ""


def branches(pipeline: Pipeline, job: str, counts: Mapping[str, int]) -> list[Branch]:
    """Return the branches of a job's history: its own first, then those of the side inputs; each job on one line once.

    Parameters
    ----------
    pipeline
        The project's jobs.
    job
        Name of the job, with a slash at the end.
    counts
        Node name to the number of things in it.
    """
    found: list[Branch] = []
    drawn: set[str] = set()
    heads = [job]
    while heads:
        head = heads.pop(0)
        if head in drawn:
            continue
        line = list(_line(pipeline, head, counts, drawn))
        pieces = [line[i : i + LONGEST] for i in range(0, len(line), LONGEST)]
        for number, piece in enumerate(pieces):
            goes_on = pieces[number + 1][0].job if number + 1 < len(pieces) else ""
            found.append(Branch(tuple(piece), goes_on))
        heads += [side.job for step in line for side in step.sides if side.job]
    return found


def leaves(pipeline: Pipeline) -> list[str]:
    """Return the jobs that no other job uses, the newest first."""
    return sorted((name for name in pipeline.processes if not pipeline.children(name)),
                  key=lambda name: -pipeline.processes[name].number)


def _line(pipeline: Pipeline, head: str, counts: Mapping[str, int], drawn: set[str]) -> Iterator[Step]:
    job = head
    while job and job not in drawn:
        drawn.add(job)
        inputs = sorted(pipeline.inputs[job], key=lambda node: _rank(pipeline, node))
        main = inputs[0] if inputs else ""
        sides = tuple(_side(pipeline, node) for node in inputs if node != main)
        arrives = kind_of(pipeline.nodes[main], counts.get(main)) if main else ""
        yield Step(job, "", arrives, sides)
        above = pipeline.producers.get(main, "")
        if main and not above:
            yield Step("", main, "", ())
        elif above in drawn:  # the rest of the line is drawn elsewhere: name where it comes from
            yield Step(above, "", "", ())
        job = above


def _rank(pipeline: Pipeline, node: str) -> int:
    kind = pipeline.nodes[node].type_id
    return _MAIN.index(kind) if kind in _MAIN else len(_MAIN)


def _side(pipeline: Pipeline, node: str) -> SideInput:
    data = pipeline.nodes[node]
    return SideInput(pipeline.producers.get(node, ""), node, kind_of(data), data.type_id == MASK.relion3)
