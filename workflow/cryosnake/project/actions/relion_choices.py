"""Classes that somebody chose in RELION's display: its Select jobs, and jobs of ours that it opened again.

The display leaves backup_selection.star in the job: a row for each class of the model, in the model's order.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.select import JOB as SELECT
from cryosnake.names import PIPELINE_FILE
from cryosnake.pipeline.job_star import JOB_FILE, read_job_star
from cryosnake.pipeline.model import Pipeline
from cryosnake.pipeline.star_text import read_blocks
from cryosnake.pipeline.unlocked import read_pipeline_unlocked
from cryosnake.project.config.decisions import Choice
from cryosnake.project.records.record import read_record

BACKUP = "backup_selection.star"
ITERATION_END = re.compile(r"_(?:data|model|optimiser)\.star$|_classes\.mrcs$|_class\d+\.mrc$")


@dataclass(frozen=True, kw_only=True)
class RelionChoice:
    """The classes that were chosen in a Select job of RELION; `problem` says why they can't be taken, if so."""

    job: str
    classes: tuple[int, ...]
    problem: str = ""


def relion_choices(choice: Choice, count: int, members: Sequence[int]) -> tuple[RelionChoice, ...]:
    """Return what was chosen in RELION from the same classification, the newest job first.

    Parameters
    ----------
    choice
        What is chosen from.
    count
        How many classes its model has.
    members
        How many particles each of them has, the first class first.
    """
    roots = {ITERATION_END.sub("", file) for file in (*choice.files, choice.particles)}
    found = []
    pipeline = read_pipeline_unlocked() if Path(PIPELINE_FILE).exists() else Pipeline(1)
    for name in reversed(list(pipeline.processes)):
        path = Path(name)
        if path.parts[0] == SELECT.folder and (path / BACKUP).exists() and roots & _chosen_from(path, pipeline):
            found.append(_read(path, count, choice.single))
    return tuple(one for one in found if not _is_ours(one, members))


def selected_classes(path: Path) -> tuple[int, list[int]]:
    """Return how many classes a backup_selection.star is about, and the numbers of the chosen ones.

    Raises
    ------
    CryosnakeError
        when it can't be read, or is another table
    """
    column = next((block.column("rlnSelected") for block in read_blocks(path).values()), None)
    if column is None or not all(text.isascii() and text.isdecimal() for text in column):
        raise CryosnakeError(f"{path} is damaged: it should have a column rlnSelected of 0 and 1")
    return len(column), [number for number, text in enumerate(column, 1) if int(text)]


def _chosen_from(job: Path, pipeline: Pipeline) -> set[str]:
    """Return the beginnings of the names of the files from which a Select job chooses."""
    try:
        stated = read_job_star(job / JOB_FILE).options.get("fn_model", "")
    except (CryosnakeError, OSError):  # RELION before 3.1 has none
        stated = ""
    return {ITERATION_END.sub("", os.path.normpath(file)) for file in (*pipeline.inputs[f"{job}/"], stated) if file}


def _read(job: Path, count: int, single: bool) -> RelionChoice:
    try:
        rows, numbers = selected_classes(job / BACKUP)
    except (CryosnakeError, OSError) as error:
        return RelionChoice(job=str(job), classes=(), problem=str(error))
    problem = ""
    if rows != count:
        problem = f"it is about {rows} classes, and here are {count}; RELION ignores it, too"
    elif not numbers:
        problem = "no class was chosen there"
    elif single and len(numbers) > 1:
        problem = f"{len(numbers)} classes were chosen there, and one is wanted here"
    return RelionChoice(job=str(job), classes=tuple(numbers), problem=problem)


def _is_ours(found: RelionChoice, members: Sequence[int]) -> bool:
    """Whether a job of ours has just the choice that it was made with, which its program left for RELION."""
    record = read_record(Path(found.job))
    if record is None or found.problem.startswith("it is about"):
        return False
    table = Path(found.job, "class_selection.star")
    if record.stated.get("minimum_score") is not None:  # of one that was cleared nobody knows
        return not table.exists() or found.classes == _kept_by_score(table)
    smallest = max(record.stated.get("minimal_class_size") or 0, 1)
    wanted = record.stated.get("classes") or range(1, len(members) + 1)
    return found.classes == tuple(sorted(n for n in wanted if n <= len(members) and members[n - 1] >= smallest))


def _kept_by_score(table: Path) -> tuple[int, ...]:
    """Return the classes that a class_selection.star says were kept; none from one that is damaged."""
    try:
        block = next(iter(read_blocks(table).values()))
        rows = zip(block.column("rlnClassNumber") or [], block.column("rlnSelected") or [], strict=True)
        return tuple(int(number) for number, selected in rows if selected == "1")
    except (CryosnakeError, OSError, ValueError, StopIteration):
        return ()
