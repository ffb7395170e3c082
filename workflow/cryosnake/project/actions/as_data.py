"""What `--json` prints of jobs and files: plain data with keys that stay, described in docs/running.md."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from cryosnake.io.star_rows import count_rows
from cryosnake.pipeline.model import Pipeline
from cryosnake.project.actions.job_details import FileOfJob, JobDetails
from cryosnake.project.actions.status import JobStatus


def json_text(data: Any) -> str:
    """Return data as JSON, indented, with null for numbers that are none."""
    return json.dumps(_finite(data), indent=1, ensure_ascii=False, allow_nan=False)


def job_data(job: JobStatus) -> dict[str, Any]:
    """Return one job of the list."""
    changed = datetime.fromtimestamp(job.changed, UTC).isoformat(timespec="seconds") if job.changed else None
    return {"job": job.path, "alias": job.alias, "state": job.state.lower(), "killed": job.dead,
            "replaced": job.replaced, "final": job.final, "outdated": job.outdated,
            "micrographs": {"done": job.done, "failed": job.failed, "rejected": job.rejected, "batches": job.batches},
            "changed": changed, "size": job.size, "version": job.version}


def details_data(details: JobDetails) -> dict[str, Any]:
    """Return all that is known of a job."""
    record = details.record
    return job_data(details.status) | {
        "title": details.title, "type": record.type if record else None,
        "parameters": {name: {"value": value, "stated": stated} for name, (value, stated) in
                       details.parameters.items()},
        "inputs": [_file_data(file) for file in details.inputs],
        "outputs": [_file_data(file) for file in details.outputs], "users": list(details.users),
        "results": [{"name": result.name, "value": result.value, "unit": result.unit} for result in details.results],
        "runs": [{"started": run.started, "batch": run.batch, "outcome": run.outcome, "seconds": run.seconds,
                  "cpu_seconds": run.cpu_seconds, "memory_mb": run.memory_mb, "threads": run.threads, "host": run.host}
                 for run in details.runs],
        "files": details.files, "note": details.note}


def outputs_data(pipeline: Pipeline, jobs: Iterable[str]) -> list[dict[str, Any]]:
    """Return the files that jobs ("Class2D/job007/") make for other jobs: their types in RELION, sizes, rows."""
    found = []
    for job in jobs:
        for name in pipeline.outputs[job]:
            node, exists = pipeline.nodes[name], os.path.exists(name)
            rows = count_rows(name) if exists and name.endswith(".star") else None
            found.append({"job": job.rstrip("/"), "file": name, "type": node.type_label, "relion3": node.type_id,
                          "exists": exists, "size": os.path.getsize(name) if exists else 0, "rows": rows})
    return found


def _file_data(file: FileOfJob) -> dict[str, Any]:
    return {"file": file.path, "kind": file.kind, "rows": file.count or None, "jobs": list(file.jobs),
            "exists": file.exists}


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
