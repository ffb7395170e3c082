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

# What a scheduler's refusal says -> the remedy, and whether another attempt may succeed. The first that fits counts.
_ACCOUNT = ("name an account that you may use (`sacctmgr show assoc user=$USER`) as `slurm_account` under "
            "`default-resources:` in the profile, or write `slurm-no-account: true` if nobody is charged")
_PARTITION = ("name a partition that exists and that you may use (`sinfo -s`) as `slurm_partition` under "
              "`default-resources:` in the profile (or in its partitions.yaml); for one job: "
              "--set-resources {rule}:slurm_partition=…")
_JOBS = ("so many jobs may not be in the queue: write a smaller `jobs:` into the profile (or --jobs …); when jobs of "
         "yours have finished the same snakemake command continues it")
_LESS = ("ask for less (--set-resources {rule}:mem_mb=… {rule}:runtime=…, --set-threads {rule}=…) or for a partition "
         "that has as much (docs/cluster.md)")
_TIME = ("ask for less time (--set-resources {rule}:runtime=…, in minutes) or for a partition that allows as much "
         "(`sinfo -s`)")
_QOS = ("name a QOS that your account has (`sacctmgr show assoc user=$USER format=account,qos`): "
        "--set-resources {rule}:qos=…, or under `default-resources:` in the profile")
REFUSALS = (
    (r"submit ?job|job submit limit|MaxJobsPer|MaxJobs\b|MaxJobCount|too many jobs|maximum (number of )?(user )?jobs"
     r"|would exceed.*(queue|limit of jobs)", _JOBS, False),
    (r"credit|balance|budget|GrpTRESMins|GrpCPUMins|UsageExceeds", "the account has used up what it was granted: name "
     "another as `slurm_account` in the profile, or ask your administrator", False),
    (r"MaxWall|time limit|TimeLimit|walltime", _TIME, False),
    (r"invalid qos|qos specification", _QOS, False),
    (r"node configuration|memory specification|cpu count|node count|core count|gres|generic resource|MaxMem|MaxTRES"
     r"|MaxCpu|MaxGRES|MaxNode|size and/or time|licen[cs]e", _LESS, False),
    (r"\baccounts?\b", _ACCOUNT, False),
    (r"partition|queue", _PARTITION, False),
    (r"reservation", "the reservation has ended or is not yours: leave it out of `slurm_extra`", False),
    (r"feature|constraint", "no node has this: correct `constraint` in --set-resources or the profile", False),
    (r"(unrecognized|invalid|unknown) .*option|invalid --", "sbatch does not know this: correct `slurm_extra` in "
     "--set-resources or the profile", False),
    (r"not found|no such file", "run snakemake where SLURM's commands are: on a login node, or load its module", False),
    (r"authentication|munge|credential|permission|denied", "you may not submit from here: use a login node, or ask "
     "your administrator", False),
    (r"contact|timed? ?out|temporar|socket|connect|transport|try again|not responding|zero bytes",
     "the scheduler does not answer; the same snakemake command continues when it does", True),
)
_UNKNOWN = "correct in the profile what it names (docs/cluster.md), or ask your administrator"


@dataclass(frozen=True)
class Reason:
    """Why a job ended, and what to do about it.

    `retry` is False where another attempt would be against the user, or be refused again; `lacks` is "memory" or "time"
    where the next attempt must ask for more of it.
    """

    cause: str
    remedy: str
    retry: bool = True
    lacks: str = ""


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
        return _refusal(rule, " ".join(refused[1].split()), asked)
    both = f"{said}\n{log}"
    if OUT_OF_MEMORY.search(both):
        return Reason(f"out of memory: it took more than it asked for ({asked})",
                      f"each retry asks for more; to start with more: --set-resources {rule}:mem_mb=…", lacks="memory")
    if TIME_LIMIT.search(both):
        return Reason(f"over its time limit ({asked})",
                      f"each retry asks for more time and continues where this one stopped; to start with more: "
                      f"--set-resources {rule}:runtime=… (minutes)", lacks="time")
    if NODE_FAILURE.search(both):
        return Reason("its node failed", "a retry runs elsewhere; if it recurs tell the cluster's administrators")
    if PREEMPTED.search(both):
        return Reason("preempted by a job of higher priority", "a retry continues where this one stopped")
    if CANCELLED.search(said):
        return Reason("cancelled (scancel), by a user or an administrator",
                      "not tried again in this run; the same snakemake command continues it", retry=False)
    return None


def _refusal(rule: str, words: str, asked: str) -> Reason:
    """Return the reason for what sbatch refused: retried, if at all, with what was asked for before."""
    remedy, retry = next(((remedy, retry) for pattern, remedy, retry in REFUSALS
                          if re.search(pattern, words, re.IGNORECASE)), (_UNKNOWN, False))
    return Reason(f"the scheduler refused it ({asked}): {words}", remedy.format(rule=rule), retry=retry)


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
