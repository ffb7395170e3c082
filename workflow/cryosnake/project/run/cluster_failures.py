"""Jobs that a cluster's scheduler ended: reported on the terminal, in the job's run.err, and to the end of the run.

A program that is killed leaves no message. Snakemake's executor learns from the scheduler that its job ended, and logs
it: this process listens to that log.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryosnake.atomic import own_file
from cryosnake.pipeline.markers import exit_of
from cryosnake.pipeline.model import Status
from cryosnake.project import snakemake_internals
from cryosnake.project.locks.job_status import last_reason
from cryosnake.project.planning.planned import Plan
from cryosnake.project.records.disk import BATCHES
from cryosnake.project.run.scheduler_reasons import Reason, asked_for, output_of, reason_of
from cryosnake.project.snakemake_internals import FailedJob, cluster_log, forbid_retries, resources_of

if TYPE_CHECKING:
    import logging

LOG_TAIL = 4000  # bytes
REASONS = Path(".cryosnake", "cluster")  # <job id>.reason: what a generic profile's status command found

# Snakemake's number of a job that the scheduler ended -> project's folder, job; a retry that succeeds removes it
_failed: dict[Any, tuple[str, str]] = {}
# job's path, batch, "memory" or "time" -> attempts that ended for something else: the next one asks for no more of it
_not_for: Counter[tuple[str, str, str]] = Counter()


def listen(workflow: Any, plan: Plan) -> None:
    """Start to listen, in the process that submits the jobs."""
    _failed.clear()
    _not_for.clear()
    snakemake_internals.begin_listening(listener(workflow, plan))


def listener(workflow: Any, plan: Plan) -> logging.Handler:
    """Return a handler that records jobs that finish or fail."""
    return snakemake_internals.listener(lambda number: _failed.pop(number, None),
                                        lambda job: _failure(workflow, plan, job))


def failed_jobs(folder: str = "") -> set[str]:
    """Return the jobs of a project in which the scheduler ended a job of this run, and no retry succeeded."""
    return {path for project, path in _failed.values() if project == folder}


def times_as_much(path: str, batch: str, attempt: int, what: str) -> int:
    """Return how many times as much "memory" or "time" as the first an attempt asks for."""
    return max(1, attempt - _not_for[path, batch, what])


def _failure(workflow: Any, plan: Plan, failed: FailedJob) -> None:
    outputs = [os.path.relpath(name, plan.folder or ".") for name in failed.outputs]
    path = next((job.path for job in plan.jobs.values()
                 if any(name.startswith(f"{job.path}/") for name in outputs)), "")
    number = failed.external
    if not path or not (number or "sbatch" in failed.said or "submission" in failed.said):
        return  # a job of this computer: its program has printed what is wrong
    details = output_of("scontrol", "show", "job", number) if number else ""  # SLURM knows a job for some minutes
    reason = _noted(number) or reason_of(failed.rule, failed.said + details, _log_tail(number),
                                         asked_for(details) or _asked(workflow, failed.number))
    if reason:
        _failed[failed.number] = plan.folder, path
    else:
        _failed.pop(failed.number, None)
    batch = next((Path(name).stem for name in outputs if f"/{BATCHES}/" in name), "")
    _not_for.update((path, batch, what) for what in ("memory", "time") if reason and what not in reason.lacks)
    path = os.path.join(plan.folder, path)
    aborted = reason is None and exit_of(path) == Status.ABORTED
    if aborted or (reason and not reason.retry):
        forbid_retries(workflow, failed.rule)
    _tell(path, number, reason, aborted)


def _tell(path: str, number: str, reason: Reason | None, aborted: bool) -> None:
    job = f"cluster job {number}" if number else "its cluster job"
    if reason is None:
        last = "aborted on request" if aborted else _last_words(Path(path), number)
        print(f"{path}: {job} failed: {last}", file=sys.stderr)
        return
    text = f"{path}: {job} was ended: {reason.cause}. {reason.remedy[:1].upper()}{reason.remedy[1:]}."
    print(text, file=sys.stderr)
    if Path(path).is_dir():
        with open(Path(path, "run.err"), "a", encoding="utf-8", opener=own_file) as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")


def _noted(number: str) -> Reason | None:
    try:
        cause, _, remedy = (REASONS / f"{number}.reason").read_text(encoding="utf-8").partition("\n")
    except OSError:
        return None
    return Reason(cause, remedy.strip() or "the same snakemake command continues it", lacks="memory, time")


def _log_tail(number: str) -> str:
    """Return the end of the log of a cluster job."""
    path = cluster_log(number)
    if path is None:
        return ""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_TAIL))
        return file.read().decode(errors="replace")


def _asked(workflow: Any, number: Any) -> str:
    """Return memory and time of one of Snakemake's jobs."""
    found = resources_of(workflow, number)
    return f"memory {found.get('mem_mb')} MB, time {found.get('runtime')} minutes" if found else "unknown"


def _last_words(path: Path, number: str) -> str:
    """Return the last reason in a job's run.err; where its program wrote none, the end of the cluster job's own log."""
    lines = [last_reason(path), *_log_tail(number).strip().splitlines()[-1:]]
    return next(filter(None, lines), "it left no message; see the log that Snakemake names")
