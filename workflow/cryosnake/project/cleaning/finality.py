"""Where a job stands towards the final ones, and what may therefore be done with it."""

from __future__ import annotations

from pathlib import Path

from cryosnake.pipeline.model import Pipeline
from cryosnake.project.cleaning.clean import NO_HARSH_CLEAN
from cryosnake.project.records.final_marks import is_final

FINAL, ANCESTOR, NEITHER = "final", "ancestor", "neither"


def standings(pipeline: Pipeline) -> dict[str, str]:
    """Return for each process whether it is final, an ancestor of a final job, or neither.

    NO_HARSH_CLEAN in its directory protects a job as an ancestor is protected.
    """
    final = {name for name in pipeline.processes if is_final(name)}
    ancestors = set().union(*(pipeline.ancestors(name) for name in final)) if final else set()
    ancestors |= {name for name in pipeline.processes if Path(name, NO_HARSH_CLEAN).exists()}
    return {name: FINAL if name in final else ANCESTOR if name in ancestors else NEITHER
            for name in pipeline.processes}


def refusal(pipeline: Pipeline, name: str, action: str) -> str:
    """Return why an action by hand is refused, "" when it is allowed.

    Parameters
    ----------
    pipeline
        The pipeline of the project in the working directory.
    name
        The process.
    action
        edit (its parameters in place), clear or delete.
    """
    standing = standings(pipeline)
    if standing[name] == FINAL:
        return f"{name} is marked as final"
    if standing[name] == ANCESTOR and action in ("edit", "delete"):
        below = [other for other in sorted(pipeline.descendants(name)) if standing[other] == FINAL]
        return f"{name} is what {', '.join(below) or NO_HARSH_CLEAN} needs kept"
    return ""


def chain(pipeline: Pipeline, first: str, last: str) -> set[str]:
    """Return the jobs on all ways from one job to another, both included; only they if there is no way."""
    return (pipeline.descendants(first) & pipeline.ancestors(last)) | {first, last}
