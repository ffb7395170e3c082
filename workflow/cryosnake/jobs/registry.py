"""All job types by name: those in this folder, and those that other packages provide through `cryosnake.jobs`."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import import_module

from cryosnake.jobs.model import JobType

GROUP = "cryosnake.jobs"  # of entry points
BUILT_IN = ("import_data", "motioncorr", "ctffind", "curate", "picking.manualpick", "picking.trainpicker",
            "picking.autopick", "extract", "class2d", "select", "joinstar", "initialmodel", "class3d", "refine3d",
            "after_refinement.ctfrefine", "after_refinement.polish", "after_refinement.subtract", "maskcreate",
            "postprocess", "localres", "maptool", "external")


@cache
def job_types() -> dict[str, JobType]:
    """Return every job type by its name in the config: first the built-in ones, in the order of processing."""
    found = [import_module(f"cryosnake.jobs.{module}").JOB for module in BUILT_IN]
    found += _offered()
    types: dict[str, JobType] = {}
    for job_type in found:
        if job_type.name in types:
            raise ValueError(f"two job types are called {job_type.name!r}; rename the one that a plug-in adds")
        types[job_type.name] = job_type
    return types


def _offered() -> list[JobType]:
    """Return the types of other packages; importing the entry-point reader is slow, and mostly there are none."""
    if not any(_names_the_group(folder) for folder in sys.path):
        return []
    from importlib.metadata import entry_points

    return [point.load() for point in entry_points(group=GROUP)]


def _names_the_group(folder: str) -> bool:
    """Return whether a distribution in a folder of sys.path provides job types."""
    try:
        names = [name for name in os.listdir(folder or ".") if name.endswith((".dist-info", ".egg-info"))]
    except OSError:
        return False
    for name in names:
        try:
            with open(os.path.join(folder, name, "entry_points.txt"), encoding="utf-8") as file:
                if f"[{GROUP}]" in file.read():
                    return True
        except OSError:  # most have none
            continue
    return False


def by_folder(folder: str) -> JobType | None:
    """Return the job type whose jobs are in `folder` (Import, MotionCorr, …), None for one that only RELION knows."""
    return next((job_type for job_type in job_types().values() if job_type.folder == folder), None)
