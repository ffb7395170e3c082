"""Record of a job from when it got its number: type, parameters and inputs, in `cryosnake.json` of its directory.

A job is its type, its parameters and its inputs: the record decides whether a job of the config already has a number
(then its results remain valid) or is a new one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from cryosnake.atomic import write_text
from cryosnake.errors import CryosnakeError
from cryosnake.jobs.model import JobType
from cryosnake.json_files import parse_json
from cryosnake.project.records.made_from import TakenFile

FILE = "cryosnake.json"
_LATER = ("made_from", "decision")  # fields that records of earlier versions have not


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """One job as it was made. `inputs` maps slots to "MotionCorr/job002:micrographs" or a file's path.

    `made_from` maps slots to the files that a whole job has read; it is empty until the job's program first starts.
    `decision` is the digest of what the numbers were chosen from that a decision file gave the job.
    """

    type: str
    name: str
    stated: Mapping[str, Any]
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]
    version: str
    created: float
    made_from: Mapping[str, TakenFile] = field(default_factory=dict)
    decision: str = ""


def read_record(job_dir: Path) -> JobRecord | None:
    """Return the record of a job directory; None where there is none (a job that RELION made)."""
    try:
        text = (job_dir / FILE).read_bytes()
    except FileNotFoundError:
        return None
    try:
        raw = parse_json(text)
        taken = {slot: TakenFile(**{**file, "batches": tuple(file["batches"])})
                 for slot, file in raw.get("made_from", {}).items()}
        return JobRecord(**{key: raw[key] for key in JobRecord.__dataclass_fields__ if key not in _LATER},
                         made_from=taken, decision=str(raw.get("decision", "")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CryosnakeError(f"{job_dir / FILE} is damaged ({error}); restore it from a backup, or move {job_dir} away "
                             "and run again: the job is then made again under the next number") from error


def write_record(job_dir: Path, record: JobRecord) -> None:
    """Write the record of a job directory, complete or not at all."""
    made_from = {slot: file._asdict() for slot, file in record.made_from.items()}
    write_text(job_dir / FILE, json.dumps({**asdict(record), "made_from": made_from}, indent=1) + "\n", durable=True)


def record_made_from(job_dir: Path, made_from: Mapping[str, TakenFile]) -> None:
    """Add to the record of a job directory, where there is one, what the job is made from."""
    record = read_record(job_dir)
    if record is not None and record.made_from != made_from:
        write_record(job_dir, replace(record, made_from=dict(made_from)))


def same_job(record: JobRecord, job_type: JobType, stated: Mapping[str, Any], inputs: Mapping[str, str],
             decision: str = "") -> bool:
    """Whether a job of the config is the recorded one.

    A parameter that neither the config nor the record states does not count, so that an upgrade of cryosnake with
    another default makes no finished job stale; options that change only the speed never count. Where both rest on a
    decision, it is one on the same contents.
    """
    if record.decision and decision and record.decision != decision:
        return False
    if record.type != job_type.name or dict(record.inputs) != dict(inputs):
        return False
    for parameter in job_type.parameters:
        if not parameter.identity:
            continue
        name, default = parameter.name, parameter.default
        either_stated = name in stated or name in record.stated
        if either_stated and stated.get(name, default) != record.parameters.get(name, default):
            return False
    return True
