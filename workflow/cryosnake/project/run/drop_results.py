"""Second names of results are dropped when the run of Snakemake that makes them has ended."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cryosnake.pipeline.markers import exit_of
from cryosnake.pipeline.model import Status
from cryosnake.project.planning.planned import PlannedJob
from cryosnake.project.records.disk import KEPT_RESULTS
from cryosnake.project.records.kept_results import drop_results


def drop_results_of(jobs: Iterable[PlannedJob]) -> None:
    """Do so for the jobs that are finished and have all their results."""
    for job in jobs:
        if (Path(job.path, KEPT_RESULTS).exists() and exit_of(Path(job.path)) == Status.SUCCEEDED
                and all(Path(job.file(output)).exists() for output in job.outputs())):
            drop_results(Path(job.path))

