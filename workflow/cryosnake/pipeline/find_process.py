"""Find a job of the project by the name that a user gives: number, path, alias, or a file of it."""

from __future__ import annotations

import os
import re

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.model import Pipeline, Process, job_number
from cryosnake.pipeline.unlocked import read_pipeline_unlocked

_NUMBER = re.compile(r"(?:job)?(\d+)$")


def find_job(text: str, pipeline: Pipeline | None = None) -> Process:
    """Return the job of the project in the working directory that a text names.

    Parameters
    ----------
    text
        `7`, `job007`, `CtfFind/job007`, `CtfFind/ctf` or `ctf` (alias), or the path of a file in the job's directory;
        with `./`, with a slash at the end or as an absolute path, too.
    pipeline
        The project's; read from its file when None.

    Raises
    ------
    CryosnakeError
        when the text names no job (with the nearest names), or several (with all of them)
    """
    pipeline = read_pipeline_unlocked() if pipeline is None else pipeline
    wanted = _relative(text.strip())
    found = _candidates(wanted, pipeline)
    if len(found) == 1:
        return found[0]
    if not found:
        raise CryosnakeError(f"{text}: no such job in this project{_nearest(wanted, pipeline)}; `cryosnake list` lists "
                             "the jobs")
    names = ", ".join(f"{process.name.rstrip('/')} ({process.alias.rstrip('/') or 'no alias'})" for process in found)
    raise CryosnakeError(f"{text}: {len(found)} jobs of this project have this name: {names}; use one of the paths")


def job_path_of(text: str) -> str:
    """Return the directory ("MotionCorr/job002") of the job that a text names; see `find_job`."""
    return find_job(text).name.rstrip("/")


def _relative(text: str) -> str:
    path = os.path.normpath(text) if text else ""
    return os.path.relpath(path) if os.path.isabs(path) else path


def _candidates(wanted: str, pipeline: Pipeline) -> list[Process]:
    jobs = list(pipeline.processes.values())
    if "/" in wanted:
        parts = wanted.split("/")
        name = f"{parts[0]}/{parts[1]}/"
        return [job for job in jobs if name in (job.name, job.alias)]
    number = _NUMBER.fullmatch(wanted)
    by_number = [job for job in jobs if number and job_number(job.name) == int(number[1])]
    by_alias = [job for job in jobs if wanted and job.short_alias == wanted]
    return list({job.name: job for job in (*by_number, *by_alias)}.values())


def _nearest(wanted: str, pipeline: Pipeline) -> str:
    import difflib  # imported here: only a misspelt name needs it

    names = {shown: process for process in pipeline.processes.values()
             for shown in (process.name.rstrip("/"), process.alias.rstrip("/"), process.short_alias) if shown}
    close = difflib.get_close_matches(wanted, list(names), 3, 0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""
