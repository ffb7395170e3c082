"""Why a cluster's scheduler ended a job, with the remedy.

From what the scheduler says: the state of the job, its log, `scontrol show job`, the answer of sbatch.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass

from cryosnake.project.snakemake_internals import REFUSED

OUT_OF_MEMORY = re.compile(r"exceeded (job |step )?memory limit|oom[-_ ]kill|out[ _]of[ _]memory", re.IGNORECASE)
TIME_LIMIT = re.compile(r"DUE TO TIME LIMIT|time limit (exceeded|reached)|TIMEOUT|walltime.*exceeded", re.IGNORECASE)
NODE_FAILURE = re.compile(r"DUE TO NODE FAILURE|NODE_FAIL|BOOT_FAIL", re.IGNORECASE)
PREEMPTED = re.compile(r"DUE TO PREEMPTION|PREEMPTED")
CANCELLED = re.compile(r"CANCELLED")
PASSING = re.compile(r"contact|timed? ?out|temporar|limit", re.IGNORECASE)  # refusals that may not recur


@dataclass(frozen=True)
class Reason:
    """Why a job ended, and what to do about it; `retry` is False where another attempt would be against the user."""

    cause: str
    remedy: str
    retry: bool = True


def reason_of(rule: str, said: str, log: str, asked: str) -> Reason | None:
    """Return why a job ended, None when its program failed by itself and says why in its own log.

    Parameters
    ----------
    rule
        The job's rule, for the remedy.
    said
        What Snakemake's executor reports: it contains the state (`SLURM status is: 'TIMEOUT'`) or sbatch's refusal.
    log
        The end of the job's log file, "" where there is none.
    asked
        What was asked for, such as "4000 MB, 2:00:00".
    """
    refused = re.search(REFUSED, said)
    if refused:
        return Reason(f"the scheduler refused it ({asked}): {' '.join(refused[1].split())}",
                      f"ask for less (--set-resources {rule}:mem_mb=… {rule}:runtime=…, --set-threads {rule}=…) or for "
                      "a partition that has as much (docs/cluster.md)", retry=bool(PASSING.search(refused[1])))
    both = f"{said}\n{log}"
    if OUT_OF_MEMORY.search(both):
        return Reason(f"out of memory: it took more than it asked for ({asked})",
                      f"each retry asks for more; to start with more: --set-resources {rule}:mem_mb=…")
    if TIME_LIMIT.search(both):
        return Reason(f"over its time limit ({asked})",
                      f"each retry asks for more time and continues where this one stopped; to start with more: "
                      f"--set-resources {rule}:runtime=… (minutes)")
    if NODE_FAILURE.search(both):
        return Reason("its node failed", "a retry runs elsewhere; if it recurs tell the cluster's administrators")
    if PREEMPTED.search(both):
        return Reason("preempted by a job of higher priority", "a retry continues where this one stopped")
    if CANCELLED.search(said):
        return Reason("cancelled (scancel), by a user or an administrator",
                      "not tried again in this run; the same snakemake command continues it", retry=False)
    return None


def asked_for(details: str) -> str:
    """Return memory and time that a job asked for, from the text of `scontrol show job`; "" where it says neither."""
    memory = re.search(r"\bmem=([\d.]+[KMGT]?)", details) or re.search(r"\bMinMemory(?:Node|CPU)=(\S+)", details)
    time = re.search(r"\bTimeLimit=(\S+)", details)
    return ", ".join([*([f"memory {memory[1]}"] if memory else []), *([f"time {time[1]}"] if time else [])])


def output_of(*command: str) -> str:
    """Return what a command of the scheduler prints; "" where there is none, or it does not answer."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
