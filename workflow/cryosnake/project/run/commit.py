"""Making the plan real, before the first job of a run starts: numbers, directories, job.star, nodes, edges, batches.

Planning writes nothing; this does, once per real run, when Snakemake holds its lock, under RELION's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cryosnake.atomic import write_text
from cryosnake.errors import CryosnakeError
from cryosnake.names import PIPELINE_FILE
from cryosnake.pipeline.job_star import write_job_pipeline, write_job_star
from cryosnake.pipeline.lock import rebuild_pipeline, update_pipeline
from cryosnake.pipeline.markers import alias_obstacle, back_up, make_alias_link, write_node_markers
from cryosnake.pipeline.model import Pipeline, Status
from cryosnake.project.planning.planned import Plan, PlannedJob
from cryosnake.project.records.batches import done_file, read_manifest, write_manifest
from cryosnake.project.records.disk import BATCHES
from cryosnake.project.records.movies import write_not_imported
from cryosnake.project.records.record import read_record, write_record
from cryosnake.project.records.regenerated_inputs import write_needed
from cryosnake.project.run.adapter import relion_options, with_job

PROJECT = Path()


def commit(plan: Plan) -> None:
    """Write the planned jobs into the project in the working directory.

    Raises
    ------
    CryosnakeError
        when another program took a job number since the plan was made, a folder can't be written, or something is in
        the place of an alias link; then nothing was written
    """
    for job in plan.jobs.values():
        obstacle = alias_obstacle(PROJECT, f"{job.config.type.folder}/{job.name}/", job.path)
        if obstacle:
            raise CryosnakeError(obstacle)
    ensure_pipeline()
    try:
        pipeline = update_pipeline(PROJECT, _adder(plan))
    except PermissionError as error:
        raise CryosnakeError(f"{error.filename or PROJECT}: the project can't be written ({error.strerror}); fix the "
                             "permissions of the folder, or copy the project to one that is yours") from error
    for job in _with_directory(plan):
        _complete_directory(plan, job, pipeline)
        if job.config.type.by_hand and not job.new:
            _note_picks(job)
        if job.forced:
            _forget_finished(job)
        if job.needs:
            write_needed(job.path, job.needs)
    write_node_markers(PROJECT, pipeline)


def ensure_pipeline() -> None:
    """Make default_pipeline.star from the job directories where it is missing."""
    if not Path(PIPELINE_FILE).exists():
        rebuild_pipeline(PROJECT)


def _with_directory(plan: Plan) -> list[PlannedJob]:
    """Return the jobs that have their number, or get it with this run because it makes them."""
    return [job for job in plan.jobs.values() if job.numbered and not (job.new and job.why_held)]


def _note_picks(job: PlannedJob) -> None:
    """Record the picks that a job is made of in this run, where it keeps its number with others."""
    record = read_record(Path(job.path))
    if record and job.decision and record.decision != job.decision:
        write_record(Path(job.path), replace(record, decision=job.decision))


def _forget_finished(job: PlannedJob) -> None:
    """Let the programs of a forced job make each micrograph again.

    An empty list, newer than the STAR of its batch, also says so to the next run, if this one is killed.
    """
    for number in job.batches:
        path = Path(done_file(job.path, number))
        if path.exists():
            write_text(path, "")


def _adder(plan: Plan) -> Callable[[Pipeline], Pipeline]:
    def add(before: Pipeline) -> Pipeline:
        pipeline = before
        for job in _with_directory(plan):
            process = pipeline.processes.get(f"{job.path}/")
            if job.new:
                _claim_directory(job, pipeline)
            pipeline = with_job(pipeline, job, process.status if process else Status.SCHEDULED)
        return before if pipeline == before else pipeline

    return add


def _claim_directory(job: PlannedJob, pipeline: Pipeline) -> None:
    """Make the directory of a new job with its record; the number must still be free."""
    if f"{job.path}/" in pipeline.processes or _number(job) < pipeline.counter:
        raise CryosnakeError(f"{job.path}: another program took this job number while the plan was made; run the same "
                             "command again")
    Path(job.path).parent.mkdir(exist_ok=True)
    Path(job.path).mkdir(exist_ok=True)
    if job.config.type.per_micrograph:
        Path(job.path, BATCHES).mkdir(exist_ok=True)
    write_record(Path(job.path), job.record())


def _number(job: PlannedJob) -> int:
    return int(job.path.rpartition("job")[2])


def _complete_directory(plan: Plan, job: PlannedJob, pipeline: Pipeline) -> None:
    """Write the files of a job directory that RELION expects, and an import's batches."""
    directory = Path(job.path)
    if job.movies and job.movies != read_manifest(job.path):
        write_manifest(job.path, job.movies)
    if job.movies:
        write_not_imported(job.path, job.waiting)
    make_alias_link(PROJECT, pipeline.processes[f"{job.path}/"])
    if not (directory / "job.star").exists():
        job_type = job.config.type
        write_job_star(directory / "job.star", job_type.relion3, job.label(), False, relion_options(plan, job))
    if not (directory / "job_pipeline.star").exists():
        write_job_pipeline(directory / "job_pipeline.star", pipeline, f"{job.path}/")
        back_up(PROJECT, directory)
