"""All job types by name: those of this folder, and those that other packages offer through `cryosnake.jobs`."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from cryosnake.jobs.model import JobType

BUILT_IN = ("import_data", "motioncorr", "ctffind", "autopick", "extract", "class2d", "select", "refine3d",
            "maskcreate", "postprocess", "localres")


@cache
def job_types() -> dict[str, JobType]:
    """Return every job type by its name in the config, the built-in ones first, in the order of processing."""
    found = [import_module(f"cryosnake.jobs.{module}").JOB for module in BUILT_IN]
    found += [point.load() for point in entry_points(group="cryosnake.jobs")]
    types: dict[str, JobType] = {}
    for job_type in found:
        if job_type.name in types:
            raise ValueError(f"two job types are called {job_type.name!r}; rename the one that a plug-in adds")
        types[job_type.name] = job_type
    return types


def by_folder(folder: str) -> JobType:
    """Return the job type whose jobs stand in `folder` (Import, MotionCorr, …); KeyError if there is none."""
    for job_type in job_types().values():
        if job_type.folder == folder:
            return job_type
    raise KeyError(folder)
