"""The plan: which job of the config is which job directory, and its batches.

Planning is pure: it reads the config, the pipeline file, the records and one directory scan per job, and writes
nothing, so that `snakemake -n` tells the truth. All paths are relative to the project, which is the working directory.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import replace

from cryosnake.errors import CryosnakeError
from cryosnake.names import foreign_place, is_job_name, why_not_ours
from cryosnake.pipeline.model import job_name
from cryosnake.pipeline.types import type_folders
from cryosnake.project.config.config import (
    CLASS_NUMBER,
    DECISIONS,
    Config,
    ConfigError,
    Connection,
    JobConfig,
    fitting_output,
)
from cryosnake.project.planning.growth import growth_of, is_complete, missing_particles, replaced
from cryosnake.project.planning.parts import part_of
from cryosnake.project.planning.pipeline_counter import next_job_number
from cryosnake.project.planning.planned import (
    PER_MICROGRAPH,
    WAITING,
    Disposition,
    NoMoviesYet,
    Plan,
    PlannedJob,
    Source,
    known_directory,
)
from cryosnake.project.planning.regenerate_plan import with_regeneration
from cryosnake.project.planning.unfinished import batch_keys
from cryosnake.project.records.batches import form_batches, read_manifest
from cryosnake.project.records.cleaned_files import read_cleaned
from cryosnake.project.records.disk import job_directories
from cryosnake.project.records.final_marks import is_final
from cryosnake.project.records.freshness import is_finished
from cryosnake.project.records.movies import Arrivals, new_arrivals
from cryosnake.project.records.record import JobRecord, same_job

_SHOWN = 10  # movies in a message


def make_plan(config: Config, *, forced: Collection[str] = (), leave_out: Collection[str] = (),
              without_data: bool = False, at_once: int = 1) -> Plan:
    """Return the plan for the project in the working directory.

    Parameters
    ----------
    config
        The checked config.
    forced
        Names of jobs that are made again though they are finished, and with them what is made from them: per
        micrograph as the next revision of each batch, others under a new number.
    leave_out
        Job directories that are being deleted.
    without_data
        Whether movies and other files of the user may be missing, because only the rules are looked at.
    at_once
        How many batches are computed at a time: new movies are divided among them.

    Raises
    ------
    CryosnakeError
        for damaged records, two jobs that are the same, patterns that match nothing, a final job that is forced
    """
    records = job_directories(sorted(type_folders()))
    counter = next_job_number(records)
    records = {path: record for path, record in records.items() if path not in leave_out}
    jobs: dict[str, PlannedJob] = {}
    inputs: Mapping[str, Source]
    taken: dict[str, str] = {}
    waiting: list[tuple[str, str]] = []
    for job_config in config.jobs.values():
        inputs = {slot: _source(job_config, slot, connection, jobs, without_data)
                  for slot, connection in job_config.connections.items()}
        job = PlannedJob(config=job_config, path=WAITING + job_config.name, inputs=inputs, new=True)
        directory = known_directory
        if job_config.type.by_hand:
            from cryosnake.project.planning.by_hand import directory_of, with_picks  # here: many projects have none

            job, directory = with_picks(job), directory_of
        elif may_choose(job_config):
            from cryosnake.project.planning.choices import with_choice  # here: many projects have none

            job = with_choice(job, jobs, records)
        if job_config.stated.get("curate"):
            from cryosnake.project.config.curation import with_curation  # here: many projects have none

            job = replace(job, config=with_curation(job.config))
        inputs, waits = job.inputs, bool(job.why_held)
        known = "" if waits else directory(job, records)
        twin = next((other.name for other in jobs.values() if not waits and _is_same(job, other)), taken.get(known))
        if twin:
            raise ConfigError(f"jobs.{job.name}", f"{twin!r} and {job.name!r} are the same job (type, "
                              "parameters and inputs agree); delete one, or give one another parameter")
        sources = {source.job for source in inputs.values()}
        again = bool(known) and (job.name in forced or any(up.forced for up in jobs.values() if up.path in sources))
        known = "" if again and not _stays(job, known) else known
        job = replace(job, stream=_stream(job, jobs), forced=again and (not known or job_config.type.per_micrograph))
        job = _disposed(job, known, records, jobs, config)
        if job.new and _gets_number(job, jobs, config):
            _refuse_lost(job_config, records)
            job = replace(job, path=job_name(job_config.type.folder, counter).rstrip("/"))
            counter += 1
        taken[known or job.path] = job.name
        jobs[job.name], arrivals = _with_batches(job, jobs, config, without_data, at_once)
        waiting += arrivals.waiting
    plan = Plan(with_regeneration(jobs), tuple(waiting), pictures=config.pictures, superseded=config.superseded,
                named=tuple(word for words in config.workspaces.values() for word in words))
    return part_of(plan, config.only, config.hold) if config.only else plan


def may_choose(job: JobConfig) -> bool:
    """Whether a job may have class numbers: in the config, in a decision, or of an input that is one of several."""
    decided = os.path.lexists(f"{DECISIONS}/{job.name}.yaml") or CLASS_NUMBER in job.stated.values()
    return (any(one.chosen_from and (decided or one.name in job.stated) for one in job.type.parameters)
            or any(connection.output[-1:].isdigit() for connection in job.connections.values()))


def _stays(job: PlannedJob, known: str) -> bool:
    """Whether a job that is made again stays in its directory: with batches, which get revisions, or unfinished."""
    if is_final(known):
        raise CryosnakeError(f"{known} ({job.name}) is final, and would be made again, as -f, -F or -R ask, or because "
                             f"what it is made from would be. Leave that out, or remove the mark with `cryosnake mark "
                             f"{job.name} not-final`")
    finished = is_finished(known, replace(job, path=known).files()) or read_cleaned(known).status is not None
    return job.config.type.per_micrograph or not finished


def _source(job: JobConfig, slot: str, connection: Connection, jobs: Mapping[str, PlannedJob],
            without_data: bool) -> Source:
    key = f"jobs.{job.name}.{slot}"
    if not connection.job:
        from cryosnake.project.planning.pinned import pinned_source, refuse_folder  # here: a plan seldom needs it

        if is_job_name(f"{connection.path}/"):
            return pinned_source(key, job.type.slot(slot), connection, without_data=without_data)
        refuse_folder(key, connection.path)
        if not (without_data or os.path.exists(connection.path)):
            raise ConfigError(key, f"the file {connection.path} does not exist; paths are "
                              "relative to the project")
        return Source(connection.path)
    upstream = jobs[connection.job]
    output = fitting_output(upstream.config, job.type.slot(slot), connection.output)
    assert output is not None  # the config was checked
    return Source(upstream.file(output), upstream.path, output.name)


def _refuse_lost(job: JobConfig, records: Mapping[str, JobRecord | None]) -> None:
    """Refuse to give a job a number where it could not get its directory, or where it may have one that is not there.

    Raises
    ------
    ConfigError
        when the type folder is a link into another project, or it or a directory in it is on a disk that is not there
    """
    folder = job.type.folder
    foreign = foreign_place("", folder) if os.path.islink(folder) else ""
    if os.path.islink(folder) and not os.path.isdir(folder):
        foreign = f"{os.path.realpath(folder)}, which does not exist: mount its disk"
    if foreign:
        raise ConfigError(f"jobs.{job.name}", f"the folder {folder} is a link to {foreign}; or remove the link")
    for path in records:
        if path.startswith(f"{folder}/") and os.path.islink(path) and not os.path.exists(path):
            raise ConfigError(f"jobs.{job.name}", f"may be {path}, which can't be read: "
                              f"{why_not_ours('', f'{path}/')}")


def _is_same(job: PlannedJob, other: PlannedJob) -> bool:
    """Whether two jobs of the config are the same job: type, parameters and inputs agree."""
    if (other.choice and other.choice.waits) or (other.config.type.by_hand and not other.decision):
        return False
    return same_job(other.record(), job.config.type, job.config.stated, job.identity_inputs(), job.decision)


def _former_directory(job: PlannedJob, jobs: Mapping[str, PlannedJob], records: Mapping[str, JobRecord | None]) -> str:
    """Return the directory of the job that was made from what this one's inputs supersede; "" if there is none."""
    former = {up.path: up.supersedes for up in jobs.values() if up.supersedes}
    if former.keys().isdisjoint(job.takes()):
        return ""
    inputs = {slot: replace(source, job=former.get(source.job, source.job)) for slot, source in job.inputs.items()}
    return known_directory(replace(job, inputs=inputs, decision=""), records)


def _stream(job: PlannedJob, jobs: Mapping[str, PlannedJob]) -> str:
    """Return the import job whose batches this job follows, "" if its input is one whole file."""
    job_type = job.config.type
    if not job_type.per_micrograph:
        return ""
    if not job_type.inputs:
        return job.name
    streams = {next((other.stream for other in jobs.values() if other.path == source.job
                     and other.outputs()[0].name == source.output), "")  # batches list what is in the first output
               for slot, source in job.inputs.items() if PER_MICROGRAPH.intersection(job_type.slot(slot).types)}
    return streams.pop() if len(streams) == 1 else ""


def _disposed(job: PlannedJob, known: str, records: Mapping[str, JobRecord | None], jobs: Mapping[str, PlannedJob],
              config: Config) -> PlannedJob:
    """Return a job with its directory, if `known` stays it, and its disposition, as far as its input decides it."""
    why_held = _why_held(job, jobs)
    if known:
        job = replace(job, path=known, new=False)
    if why_held:
        return replace(job, disposition=Disposition.HELD, why_held=why_held)
    record = records.get(known)
    if not known and (former := _former_directory(job, jobs, records)):
        leader = next(up.name for up in jobs.values() if up.supersedes and up.path in job.takes())
        return replace(job, supersedes=former, growth=f"follows {leader}")
    if record is None:
        return job
    complete = is_complete(job)
    growth = replaced(job, record) if not complete else growth_of(
        job, record, {other.path: other for other in jobs.values()}, factor=config.grow,
        as_joined=config.as_joined or bool(config.only))
    if growth:
        return replace(job, path=WAITING + job.name, new=True, supersedes=known, growth=growth)
    return replace(job, disposition=Disposition.BELOW_GROWTH) if complete else job


def _gets_number(job: PlannedJob, jobs: Mapping[str, PlannedJob], config: Config) -> bool:
    """Whether a new job gets its number now: one that waits, or that another call makes, gets it later."""
    return not (job.why_held or (config.only and job.name not in config.only)
                or any(other.path in job.takes() and not other.numbered for other in jobs.values()))


def _why_held(job: PlannedJob, jobs: Mapping[str, PlannedJob]) -> str:
    if job.why_held:
        return job.why_held
    for source in job.inputs.values():
        for other in jobs.values():
            if other.path == source.job and other.why_held:
                return f"waits for {other.name}"
    return missing_particles(job, jobs.values()) if job.config.at_least else ""


def _with_batches(job: PlannedJob, jobs: Mapping[str, PlannedJob], config: Config, without_data: bool, at_once: int,
                  ) -> tuple[PlannedJob, Arrivals]:
    job_type = job.config.type
    if not job_type.per_micrograph:
        return job, Arrivals((), ())
    if job.stream != job.name:
        numbers = jobs[job.stream].batches if job.stream else {1: ""}
        upstream = [other for other in jobs.values() if other.path in job.takes()]
        followed = [slot for slot, source in job.inputs.items() if not source.pinned]
        made_from = {number: [job.batch_source(slot, number, upstream) for slot in followed] for number in numbers}
        return replace(job, batches=batch_keys(job, made_from)), Arrivals((), ())
    parameters = job.config.parameters()
    pattern = parameters.get("movies") or parameters.get("micrographs")
    if not pattern:
        raise CryosnakeError(f"config.yaml: job {job.name}: import needs `movies:` or `micrographs:`, a pattern such "
                             "as Movies/*.tiff")
    existing = {} if job.new else read_manifest(job.path)
    known = {name for names in existing.values() for name in names}
    arrivals = new_arrivals(pattern, known, parameters["settling_time"], leave_out=config.named_files())
    movies = form_batches(existing, arrivals.ready, config.batch_size, full_only=config.full_batches,
                          at_once=at_once)
    if not movies and not without_data:
        reasons = "".join(f"\n  {name}: {reason}" for name, reason in arrivals.waiting[:_SHOWN])
        if len(arrivals.waiting) > _SHOWN:
            reasons += f"\n  and {len(arrivals.waiting) - _SHOWN} more"
        raise NoMoviesYet(f"config.yaml: job {job.name}: no complete file matches {pattern!r} in this project (or not "
                          f"a full batch); check the pattern, or wait for the files to arrive{reasons}",
                          arrivals.waiting)
    keys = batch_keys(job, dict.fromkeys(movies, ()), as_imported=bool(config.hold))
    return replace(job, batches=keys, movies=movies, waiting=arrivals.waiting), arrivals
