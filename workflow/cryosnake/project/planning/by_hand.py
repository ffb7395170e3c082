"""Jobs that a person makes by hand: they wait for picks in `decisions/<job>/`, and are made of these.

Saved picks change a job as long as no other job has begun that takes from it: it keeps its number, and the next run
makes it again. Afterwards the job with changed picks gets the next number, and the old one stays.
"""

from __future__ import annotations

import os
from dataclasses import replace

from cryosnake.names import PIPELINE_FILE
from cryosnake.pipeline.markers import exit_of
from cryosnake.pipeline.model import job_number
from cryosnake.project.config.picked import digest_of_picks, picks_folder
from cryosnake.project.planning.planned import PlannedJob, Records, known_directory
from cryosnake.project.records.disk import BATCHES
from cryosnake.project.records.final_marks import is_final

WAITS = "waits for picks"


def with_picks(job: PlannedJob) -> PlannedJob:
    """Return a job with the digest of the picks that it is made of, or one that waits for them."""
    found = digest_of_picks(picks_folder(job.name))
    return replace(job, decision=found) if found else replace(job, why_held=WAITS)


def directory_of(job: PlannedJob, records: Records) -> str:
    """Return the directory in which a job is made with its picks of now; "" for a new one."""
    same = known_directory(job, records)
    if same or not job.decision:
        return same
    path = last_made(job, records)
    return "" if not path or is_final(path) or users_of(path, records) else path


def last_made(job: PlannedJob, records: Records) -> str:
    """Return the newest directory of a job, with any picks; "" if there is none."""
    own = {path: record for path, record in records.items() if record and record.name == job.name}
    return known_directory(replace(job, decision=""), own)


def users_of(path: str, records: Records) -> list[str]:
    """Return the jobs, also of RELION, that take from a job directory and have begun, in the order of their numbers."""
    ours = {other for other, record in records.items() if record
            and any(text.startswith((f"{path}:", f"{path}/")) for text in record.inputs.values())}
    found = {other for other in ours if _has_begun(other, records)} | {
        other for other in _consumers(path) if other not in ours and records.get(other) is None}
    return sorted(found, key=lambda name: job_number(name) or 0)


def waiting_line(name: str) -> str:
    """Return how a job that waits for picks is said to, with the command."""
    return f"waits for you: {name}: pick particles: cryosnake web --edit, job {name}"


def _has_begun(path: str, records: Records) -> bool:
    record = records[path]
    return bool(record and record.made_from) or exit_of(path) is not None or any(
        name.endswith(".done") for name in (os.listdir(f"{path}/{BATCHES}") if os.path.isdir(f"{path}/{BATCHES}")
                                            else ()))


def _consumers(path: str) -> set[str]:
    """Return the jobs that the pipeline connects with the results of a job."""
    from cryosnake.pipeline.unlocked import read_pipeline_unlocked  # here: few plans need it

    if not os.path.exists(PIPELINE_FILE):
        return set()
    return {process.rstrip("/") for node, process in read_pipeline_unlocked().input_edges
            if node.startswith(f"{path}/")}
