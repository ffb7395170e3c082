"""Guards: what a clean-up or a deletion may do with a job. Every command uses them."""

from __future__ import annotations

from pathlib import Path

from cryosnake.names import why_not_ours
from cryosnake.pipeline.model import Pipeline, Process, Status
from cryosnake.project.locks.work_locks import at_work
from cryosnake.project.records.final_marks import is_final
from cryosnake.project.records.record import FILE as RECORD

FINAL, ANCESTOR, NEITHER = "final", "ancestor", "neither"
INTERMEDIATE, GENTLE, HARSH, CLEAR, DELETE = "intermediate", "gentle", "harsh", "clear", "delete"  # least first
_NO_HARSH_CLEAN = "NO_HARSH_CLEAN"


def standings(pipeline: Pipeline) -> dict[str, str]:
    """Return for each process whether it is final, an ancestor of a final job, or neither.

    NO_HARSH_CLEAN in its directory protects a job like an ancestor.
    """
    final = {name for name in pipeline.processes if is_final(name)}
    ancestors = set().union(*(pipeline.ancestors(name) for name in final)) if final else set()
    ancestors |= {name for name in pipeline.processes if Path(name, _NO_HARSH_CLEAN).exists()}
    return {name: FINAL if name in final else ANCESTOR if name in ancestors else NEITHER
            for name in pipeline.processes}


def refusal(process: Process, what: str) -> str:
    """Return why a job must not be cleaned at a level (intermediate to delete), "" if it may be."""
    foreign = why_not_ours("", process.name)
    if foreign:
        return f"{foreign}; remove the link to take it out of the project"
    if is_final(process.name):
        return "it is marked as final; remove the mark first"
    if process.status == Status.RUNNING:
        return "it is running; abort it, or mark it as failed if its program no longer runs"
    workers = at_work(Path(process.name))
    if workers:
        return f"a program works in it ({', '.join(workers)})"
    if what in (INTERMEDIATE, GENTLE):
        return ""
    if Path(process.name, _NO_HARSH_CLEAN).exists():
        return f"{_NO_HARSH_CLEAN} protects it; remove that file first"
    return "user input can't be made again" if what != HARSH and _is_user_input(process) else ""


def _is_user_input(process: Process) -> bool:
    """Whether a job contains user input, which nothing can make again. RELION's Select jobs may be interactive."""
    interactive = process.folder == "Select" and not Path(process.name, RECORD).exists()
    return process.folder in ("Import", "ManualPick") or interactive
