"""The job that a user means: by directory, number or alias."""

from __future__ import annotations

import re

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.model import Pipeline
from cryosnake.project.values import nearest


def named_job(pipeline: Pipeline, text: str) -> str:
    """Return the process name (`Extract/job005/`) for a directory, an alias with or without folder, or a number.

    Raises
    ------
    CryosnakeError
        If no job or more than one job is meant.
    """
    wanted = re.sub(r"^\./", "", text.strip()).rstrip("/")
    if f"{wanted}/" in pipeline.processes:
        return f"{wanted}/"
    number = re.fullmatch(r"(?:job)?(\d+)", wanted)
    found = [name for name, process in pipeline.processes.items()
             if process.alias == f"{wanted}/" or process.short_alias == wanted
             or (number and process.number == int(number[1]))]
    if len(found) == 1:
        return found[0]
    if found:
        raise CryosnakeError(f"{text!r} may be {' or '.join(sorted(found))}; write the directory")
    known = [word for process in pipeline.processes.values()
             for word in (process.name.rstrip("/"), process.alias.rstrip("/"), process.short_alias) if word]
    raise CryosnakeError(f"there is no job {text!r}{nearest(wanted, known)}; `cryosnake status` lists the jobs")
