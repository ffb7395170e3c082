"""Workspaces: named groups of jobs in the config, for clean-up. A job may be in several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.model import Pipeline
from cryosnake.project.config.values import nearest
from cryosnake.project.records.jobs import find_job


def members(pipeline: Pipeline, workspaces: Mapping[str, Sequence[str]], name: str) -> set[str]:
    """Return the processes of a workspace; its jobs are named as in the config, or by directory.

    Raises
    ------
    CryosnakeError
        If there is no such workspace, or it names a job that the project does not have (yet).
    """
    if name not in workspaces:
        raise CryosnakeError(f"config.yaml has no workspace {name!r}{nearest(name, workspaces)}; add it under "
                             "`workspaces:`, as a name with a list of jobs")
    return {find_job(job, pipeline).name for job in workspaces[name]}
