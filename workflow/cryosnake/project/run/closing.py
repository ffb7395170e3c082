"""The end of a run of Snakemake: node markers, copies of the pipeline, and finished results under one name each."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from cryosnake.pipeline.markers import back_up, write_node_markers
from cryosnake.pipeline.unlocked import read_pipeline_unlocked
from cryosnake.project.planning.planned import Plan, PlannedJob
from cryosnake.project.records.cleaned_files import former_times
from cryosnake.project.records.freshness import is_finished
from cryosnake.project.records.kept_results import drop_results
from cryosnake.project.run.kept_iterations import drop_waiting


def close_success(plan: Plan) -> None:
    """Bring .Nodes and the backup copies of default_pipeline.star up to date."""
    write_node_markers(Path(), read_pipeline_unlocked())
    for job in plan.jobs.values():
        if Path(job.path).is_dir():
            back_up(Path(), job.path)


def tidy_results(jobs: Iterable[PlannedJob]) -> None:
    """Drop second names and superseded iterations, and restore times, of the jobs that are finished.

    Snakemake sets the times of all results when their job ends. Results that were cleared and made again from the same
    inputs get their former times here, after it: otherwise what was made from them before would be outdated.
    """
    for job in jobs:
        if is_finished(job.path, job.files()):
            with former_times(job.path) as times:
                _restore(job, {path: times[path] for path in job.files() if path in times})
            drop_waiting(job.path)
            drop_results(Path(job.path))


def _restore(job: PlannedJob, times: dict[str, int]) -> None:
    """Set the times (ns) of results, by path, unless an input is newer: they were not made from that before."""
    oldest = min(times.values(), default=0)
    if times and all(_time(source.path) <= oldest for source in job.inputs.values()):
        data = {path: min(oldest, _time(path)) for path in job.needs.get("", ())}  # made again for it, after `oldest`
        for path, time in {**times, **data}.items():
            with suppress(FileNotFoundError):
                os.utime(path, ns=(time, time))


def _time(path: str) -> int:
    return os.stat(path).st_mtime_ns if os.path.exists(path) else 0
