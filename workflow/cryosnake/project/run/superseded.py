"""Superseded jobs: finished ones whose place in the config a job with more data has taken, and what becomes of them.

When the successor has succeeded, `superseded: clear` moves their iterations but the last to the Trash, `trash` the
whole jobs, `keep` nothing. Protected are jobs that are final, have a note, were made by a decision, or are named in one
or in the config, those that a job uses that is not superseded itself, and all that these were made from.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from cryosnake.errors import CryosnakeError
from cryosnake.human import human_size
from cryosnake.pipeline.files import PIPELINE_FILE
from cryosnake.pipeline.model import Pipeline, Status, job_number
from cryosnake.pipeline.unlocked import read_pipeline_unlocked
from cryosnake.project.cleaning.clean import clean, plan_action
from cryosnake.project.cleaning.delete import delete_jobs, plan_deletion
from cryosnake.project.cleaning.guards import INTERMEDIATE, NEITHER, standings
from cryosnake.project.config.config import DECISIONS
from cryosnake.project.locks.clean_up_lock import cleaning_up
from cryosnake.project.planning.planned import Plan, PlannedJob
from cryosnake.project.records.disk import job_directories
from cryosnake.project.records.file_sizes import folder_size
from cryosnake.project.records.record import JobRecord, same_job

_NOTE = "\n ++++ Note of "  # as `cryosnake note` begins one


def superseded_jobs(plan: Plan, pipeline: Pipeline) -> dict[str, str]:
    """Return the superseded jobs whose successor has succeeded, with that: {"Class2D/job016": "Class2D/job031"}."""
    records = _records(pipeline)
    found: dict[str, str] = {}
    for job in plan.jobs.values():
        process = pipeline.processes.get(f"{job.path}/")
        if process and process.status == Status.SUCCEEDED:
            found |= {path: job.path for path, record in records.items()
                      if record and _is_former(record, path, job, found)}
    return found


def _is_former(record: JobRecord, path: str, job: PlannedJob, known: Mapping[str, str]) -> bool:
    """Whether a recorded job is a planned one with an earlier number; `known` jobs count as their successors."""
    if (job_number(path) or 0) >= (job_number(job.path) or 0) or job.config.type.by_hand:  # other picks, not more data
        return False
    inputs = {}
    for slot, source in record.inputs.items():
        maker, colon, output = source.rpartition(":")
        inputs[slot] = f"{known.get(maker, maker)}{colon}{output}"
    return same_job(replace(record, inputs=inputs), job.config.type, job.config.stated, job.identity_inputs())


def unprotected(plan: Plan, pipeline: Pipeline, superseded: Mapping[str, str]) -> list[str]:
    """Return those superseded jobs that nothing protects, in the order of their numbers."""
    standing, named = standings(pipeline), _named(plan)
    records = _records(pipeline)
    chosen = {path for path, record in records.items() if record and record.decision}
    chosen |= _first_choices(superseded, records)
    kept = {name for name in pipeline.processes for path in [name.rstrip("/")]
            if path not in superseded or standing[name] != NEITHER or path in chosen or _has_note(path)
            or any(word == path or word.startswith(name) for word in named)}
    kept |= set().union(*(pipeline.ancestors(name) for name in kept)) if kept else set()
    return sorted((path for path in superseded if f"{path}/" in pipeline.processes and f"{path}/" not in kept),
                  key=lambda path: job_number(path) or 0)


def _named(plan: Plan) -> list[str]:
    """Return all paths in the config and in decisions."""
    found = list(plan.named)
    for job in plan.jobs.values():
        found += [source.pinned or source.path for source in job.inputs.values() if not source.job]
        found += [value for value in job.config.stated.values() if isinstance(value, str)]
    for file in Path(DECISIONS).glob("*.yaml"):
        found += file.read_text(errors="replace").replace('"', " ").replace("'", " ").split()
    return found


def _records(pipeline: Pipeline) -> dict[str, JobRecord | None]:
    return job_directories(sorted({name.partition("/")[0] for name in pipeline.processes}))


def _first_choices(superseded: Mapping[str, str], records: Mapping[str, JobRecord | None]) -> set[str]:
    """Return the jobs, one of each line, to which class numbers of the config were applied first: they were seen."""
    found: dict[str, str] = {}
    for path, successor in sorted(superseded.items(), key=lambda item: -(job_number(item[0]) or 0)):
        record = records[path]
        if record and record.type == "select" and record.stated.get("classes"):
            found[successor] = path
    return set(found.values())


def _has_note(path: str) -> bool:
    try:
        return _NOTE in Path(path, "note.txt").read_text(errors="replace")
    except OSError:
        return False


def settle_superseded(plan: Plan) -> dict[str, int]:
    """Do with superseded jobs what the config says; return their number and the bytes that they have now.

    What can't be done now is said, and left for the end of the next run: while another call of Snakemake works in the
    project nothing is moved.
    """
    if not Path(PIPELINE_FILE).exists():
        return {"jobs": 0, "bytes": 0}
    pipeline = read_pipeline_unlocked()
    superseded = superseded_jobs(plan, pipeline)
    if superseded and plan.superseded != "keep":
        try:
            with cleaning_up():
                _settle(pipeline, unprotected(plan, pipeline, superseded), plan.superseded)
        except CryosnakeError as error:
            print(f"superseded jobs stay as they are: {error}", file=sys.stderr)
    left = [path for path in superseded if os.path.isdir(path)]
    return {"jobs": len(left), "bytes": sum(map(folder_size, left))}


def _settle(pipeline: Pipeline, jobs: list[str], policy: str) -> None:
    if policy == "trash" and jobs:
        deletion = plan_deletion(pipeline, jobs)
        size = sum(map(folder_size, jobs))
        delete_jobs(deletion)
        print(f"superseded: {', '.join(jobs)} went to the Trash ({human_size(size)})", file=sys.stderr)
        return
    for path in jobs:
        action = plan_action(pipeline, f"{path}/", INTERMEDIATE)
        if action.files:
            clean(action)
            print(f"superseded: iterations of {path} but the last went to the Trash ({human_size(action.bytes)})",
                  file=sys.stderr)
