"""Forced jobs: those that `snakemake -f`, `-F` and `-R` ask to be made again, though they are finished.

Snakemake would make the same files again, over the finished ones. Here they are made beside them, so it is the plan
that has to know of them (`make_plan`): Snakemake is then asked for files that do not exist.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from cryosnake.errors import CryosnakeError
from cryosnake.project.config.config import JobConfig
from cryosnake.project.planning.rule_values import rule_name
from cryosnake.project.records.disk import JOB_DIRECTORY
from cryosnake.project.snakemake_internals import Request


def forced_jobs(jobs: Mapping[str, JobConfig], request: Request, folder: str,
                name_of_rule: Callable[[str], str]) -> frozenset[str]:
    """Return the names of the jobs that are asked for again.

    Parameters
    ----------
    jobs
        The jobs of the config.
    request
        The rules and files that Snakemake was asked for.
    folder
        The project, from Snakemake's working directory.
    name_of_rule
        The name that a module's user has given to a rule.

    Raises
    ------
    CryosnakeError
        for a file of a job, which can only be made again in its place
    """
    names = {name_of_rule(rule_name(name)): name for name in jobs}
    for word in (*request.again, *(request.targets if request.everything else ())):
        job_type, job, inside = (*os.path.relpath(word, folder or ".").split("/", 2), "", "")[:3]
        if word not in names and inside and JOB_DIRECTORY.match(job) and os.path.exists(word):
            raise CryosnakeError(f"{word}: finished files are never made again in their place, but a whole job beside "
                                 f"them: name the rule of {job_type}/{job} instead, as in `snakemake -R "
                                 f"{next(iter(names))}` (snakemake --list-rules lists them)")
    if not request.everything:
        return frozenset(names[word] for word in request.again if word in names)
    wanted = [names[word] for word in request.targets if word in names]
    if not wanted or len(wanted) < len(request.targets):  # `all`, or a rule of a workflow with this one as a module
        return frozenset(jobs)
    found: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name not in found:
            found.add(name)
            wanted += [connection.job for connection in jobs[name].connections.values() if connection.job]
    return frozenset(found)
