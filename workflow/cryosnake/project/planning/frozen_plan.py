"""Plan of a run on a cluster, frozen at its start.

A job on another computer parses the Snakefile again, minutes or days after it was submitted. It must find the plan
with which it was submitted, however config.yaml, the movies and the job directories have changed since: it reads the
plan from `.cryosnake/plans/`, and neither config.yaml nor the project.
"""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

from cryosnake.atomic import write_text
from cryosnake.errors import CryosnakeError
from cryosnake.jobs.registry import job_types
from cryosnake.json_files import read_json
from cryosnake.project.config.config import Connection, JobConfig
from cryosnake.project.planning.planned import Disposition, Plan, PlannedJob, Source

FOLDER = Path(".cryosnake", "plans")
KEY = "frozen_plan"  # what the config key that carries the file's name to the jobs begins with
KEPT = 60 * 86400  # seconds: longer than a job waits in any queue


def freeze(plan: Plan) -> str:
    """Write the plan and return the file's path, from Snakemake's working directory; equal plans share a file."""
    import hashlib  # imported here: needed only by the call that plans, not by its jobs

    text = json.dumps({"gpu": plan.gpu, "pictures": plan.pictures, "folder": plan.folder,
                       "jobs": [_job_to_json(job) for job in plan.jobs.values()]}, ensure_ascii=False)
    path = FOLDER / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    for old in FOLDER.glob("*.json"):
        if time.time() - old.stat().st_mtime > KEPT:
            old.unlink(missing_ok=True)
    return str(Path(plan.folder, path))


def key_of(folder: str) -> str:
    """Return the config key for the plan of the project in a folder: modules of one workflow have a key each."""
    return re.sub(r"\W", "_", f"{KEY}_{folder}") if folder else KEY


def thaw(path: str) -> Plan:
    """Return the plan of `freeze`; the movies of an import are left out, because only the start of a run needs them.

    Raises
    ------
    CryosnakeError
        when the file is missing or damaged, or names a job type that is not installed on this computer
    """
    try:
        content = read_json(path)
        types = job_types()
        jobs = [_job_from_json(item, types) for item in content["jobs"]]
        return Plan({job.name: job for job in jobs}, gpu=content["gpu"], pictures=content["pictures"],
                    folder=content["folder"])
    except OSError as error:
        raise CryosnakeError(f"{path}: this job's plan can't be read ({error.strerror}); the project's folder must be "
                             f"the same on {os.uname().nodename} as where snakemake runs") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CryosnakeError(f"{path}: this job's plan does not match the cryosnake on {os.uname().nodename} "
                             f"({error!r}); install the same version, with the same job types, on all "
                             "computers") from error


def _job_to_json(job: PlannedJob) -> dict[str, Any]:
    config = job.config
    return {
        "config": {"name": config.name, "type": config.type.name, "stated": dict(config.stated),
                   "connections": {slot: [c.job, c.output, c.path] for slot, c in config.connections.items()},
                   "at_least": config.at_least},
        "path": job.path, "new": job.new, "stream": job.stream,
        "disposition": job.disposition.name, "why_held": job.why_held, "supersedes": job.supersedes,
        "decision": job.decision,
        "growth": job.growth,
        "inputs": {slot: [s.path, s.job, s.output, s.pinned] for slot, s in job.inputs.items()},
        "batches": list(job.batches.items()), "again": list(job.again.items()), "needs": dict(job.needs),
    }


def _job_from_json(item: dict[str, Any], types: dict[str, Any]) -> PlannedJob:
    stated = item["config"]
    config = JobConfig(stated["name"], types[stated["type"]], stated["stated"],
                       {slot: Connection(*words) for slot, words in stated["connections"].items()},
                       at_least=stated["at_least"])
    inputs = {slot: Source(*words) for slot, words in item["inputs"].items()}
    needs = {key: tuple(files) for key, files in item["needs"].items()}
    return PlannedJob(config=config, path=item["path"], new=item["new"], inputs=inputs, stream=item["stream"],
                      batches=dict(item["batches"]), again=dict(item["again"]), needs=needs,
                      disposition=Disposition[item["disposition"]], why_held=item["why_held"],
                      decision=item["decision"], supersedes=item["supersedes"], growth=item["growth"])
