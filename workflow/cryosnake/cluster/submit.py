"""The programs of a generic profile: submit a Snakemake job through a lane's template, query its status, cancel it.

Inside the template a few lines of shell run the job's script and write its exit code to
`.cryosnake/cluster/<name>.exit`. A job that has left the queue without one was killed by the scheduler.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cryosnake.cluster import cryosparc_lane, relion_template
from cryosnake.cluster.lane import ClusterLane, read_lane
from cryosnake.errors import CryosnakeError

RECORDS = Path(".cryosnake", "cluster")
_GONE = re.compile(r"unknown|invalid job|not found|do(es)? not exist|has finished", re.IGNORECASE)
# LSF and SLURM say it in words; PBS keeps finished jobs for a while, with C, F or X before the name of the queue; an
# SGE job in state Eqw could not be started and never will be
_ENDED = re.compile(r"\b(EXIT|DONE|CANCELLED|FAILED|COMPLETED|TIMEOUT)\b|\s[CFX]\s+\S+\s*$|\sEh?qw\s")
GRACE = 30.0  # seconds to wait for the exit file to appear on this computer after a job has left the queue


def submit(folder: Path, jobscript: Path) -> str:
    """Submit Snakemake's script of a job; return the number that the scheduler gave it.

    Raises
    ------
    CryosnakeError
        when the scheduler refuses it
    """
    lane = read_lane(folder)
    properties = read_properties(jobscript.read_text(encoding="utf-8"))
    RECORDS.mkdir(parents=True, exist_ok=True)
    name = f"{properties.get('rule', 'job')}.{properties.get('jobid', 0)}.{time.time_ns() // 1_000_000}"
    here = RECORDS.absolute()
    (here / f"{name}.job.sh").write_text(jobscript.read_text(encoding="utf-8"), encoding="utf-8")
    (here / f"{name}.run.sh").write_text(_run_script(here, name, lane), encoding="utf-8")
    values = job_values(lane, properties, here, name)
    script = here / f"{name}.sh"
    script.write_text(fill(lane, (folder / lane.template).read_text(encoding="utf-8"), values), encoding="utf-8")
    answer = _shell(lane, _with_script(lane, fill(lane, lane.submit, values), script), values)
    if answer.returncode:
        raise CryosnakeError(f"the scheduler refused {properties.get('rule')} ({script}): "
                             f"{(answer.stderr or answer.stdout).strip()}")
    number = re.search(r"\d+[\w.\[\]-]*", answer.stdout)
    if number is None:
        raise CryosnakeError(f"`{lane.submit}` printed {answer.stdout!r} instead of a job number; see lane.json")
    (RECORDS / f"{number[0]}.job").write_text(name, encoding="utf-8")
    return number[0]


def status(folder: Path, number: str, grace: float = GRACE) -> str:
    """Return running, success or failed; a failed job that left no exit code gets a file with the reason."""
    name = _text(RECORDS / f"{number}.job")
    code = _text(RECORDS / f"{name}.exit") if name else ""
    if code:
        return "success" if code == "0" else "failed"
    if _in_queue(read_lane(folder), number):
        return "running"
    gone = RECORDS / f"{number}.gone"
    if not gone.exists():
        gone.touch()
    if time.time() - gone.stat().st_mtime < grace:
        return "running"
    (RECORDS / f"{number}.reason").write_text(_reason(name), encoding="utf-8")
    return "failed"


def cancel(folder: Path, numbers: list[str]) -> None:
    """Cancel jobs."""
    lane = read_lane(folder)
    for number in numbers:
        _shell(lane, _for_job(lane, lane.cancel, number), {"cluster_job_id": number})


def read_properties(jobscript: str) -> dict[str, Any]:
    """Return a job's properties from Snakemake's comment in its script: rule, threads, resources."""
    match = re.search(r"^# properties = (\{.*\})$", jobscript, re.MULTILINE)
    return json.loads(match[1]) if match else {}


def job_values(lane: ClusterLane, properties: dict[str, Any], here: Path, name: str) -> dict[str, Any]:
    """Return the values of the template variables for one job, cryoSPARC's and RELION's."""
    resources = properties.get("resources", {})
    ranks = int(resources.get("tasks", 1))
    cores = max(int(properties.get("threads", 1)), ranks)
    gres = re.findall(r"gpu:(?:\w+:)?(\d+)", str(resources.get("gres", "")))
    gpus = int(resources.get("gpu", 0)) or sum(map(int, gres))
    command = f"bash {shlex.quote(str(here / f'{name}.run.sh'))}"
    log = here / f"{name}.log"
    dedicated = max(1, int(lane.variables.get("dedicated", 1) or 1))
    return {
        "run_cmd": command, "num_cpu": cores, "num_gpu": gpus, "ram_gb": int(resources.get("mem_mb", 4000)) / 1000,
        "job_dir_abs": str(here), "project_dir_abs": os.getcwd(), "job_log_path_abs": str(log), "run_args": "",
        "project_uid": Path.cwd().name, "job_uid": name, "job_creator": getpass.getuser(),
        "cryosparc_username": getpass.getuser(), "job_type": properties.get("rule", "job"),
        "script_path_abs": str(here / f"{name}.sh"), "runtime": int(resources.get("runtime", 60)),
        "mem_mb": int(resources.get("mem_mb", 4000)),
        "command": command, "name": properties.get("rule", "job"), "errfile": str(log), "outfile": str(log),
        "mpinodes": ranks, "threads": max(1, cores // ranks), "cores": cores, "nodes": -(-cores // dedicated),
        **lane.variables,
    }


def fill(lane: ClusterLane, text: str, values: dict[str, Any]) -> str:
    """Return a template of the lane with its variables filled in."""
    return (cryosparc_lane if lane.kind == "cryosparc" else relion_template).render(text, values)


def _run_script(here: Path, name: str, lane: ClusterLane) -> str:
    launcher = f"export CRYOSNAKE_MPI_LAUNCHER={shlex.quote(lane.launcher)}\n" if lane.launcher else ""
    base = shlex.quote(str(here / name))
    project = shlex.quote(os.getcwd())  # PBS and SGE start a job in the user's home directory
    return (f"#!/bin/bash\n{launcher}cd {project} || exit\nbash {base}.job.sh\ncode=$?\n"
            f"echo $code > {base}.exit.tmp && mv {base}.exit.tmp {base}.exit\nexit $code\n")


def _with_script(lane: ClusterLane, command: str, script: Path) -> str:
    return command if lane.kind == "cryosparc" else f"{command} {shlex.quote(str(script))}"


def _for_job(lane: ClusterLane, command: str, number: str) -> str:
    if lane.kind == "cryosparc":
        return cryosparc_lane.render(command, {"cluster_job_id": number, **lane.variables})
    return command.replace("{id}", shlex.quote(number))


def _shell(lane: ClusterLane, command: str, values: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    if lane.send:
        command = cryosparc_lane.render(lane.send, {**values, "command": command})
    return subprocess.run(command, shell=True, capture_output=True, text=True)


def _in_queue(lane: ClusterLane, number: str) -> bool:
    """Return whether the scheduler still has the job; if it does not answer, the job is assumed to be there."""
    answer = _shell(lane, _for_job(lane, lane.status, number), {"cluster_job_id": number})
    lines = _lines_of(number, answer.stdout)
    if lines:
        return any(not _ENDED.search(line) for line in lines)
    return bool(answer.returncode) and not _GONE.search(answer.stdout + answer.stderr)


def _lines_of(number: str, listing: str) -> list[str]:
    """Return the lines that start with a job's number: elsewhere the same digits may be a time or another count."""
    begin = re.compile(rf"\s*(?:job.?id\W*)?{re.escape(number.split('.')[0])}(?!\d)", re.IGNORECASE)
    return [line for line in listing.splitlines() if begin.match(line)]


def _reason(name: str) -> str:
    """Return why a job left the queue without an exit code, and what to do, on two lines."""
    log = _text(RECORDS / f"{name}.log")
    last = " ".join(log.split("\n")[-3:])[-400:]
    if re.search(r"memory limit|oom|out of memory", log, re.IGNORECASE):
        return f"out of memory ({last})\neach retry asks for more memory; to start with more: --set-resources"
    if re.search(r"time limit|walltime", log, re.IGNORECASE):
        return f"over its time limit ({last})\neach retry asks for more time; to start with more: --set-resources"
    return (f"it left the queue without an exit code{f' ({last})' if last else ''}: cancelled, or killed by the "
            "scheduler for its memory, its time or its node\nthe same snakemake command continues it")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def main(words: list[str]) -> int:
    """`python -m cryosnake.cluster.submit ACTION PROFILE_FOLDER ARGUMENT…`; the action is submit, status or cancel."""
    action, folder, *rest = words
    try:
        if action == "cancel":
            cancel(Path(folder), rest)
        else:
            print(submit(Path(folder), Path(rest[-1])) if action == "submit" else status(Path(folder), rest[-1]))
    except CryosnakeError as error:
        print(f"cryosnake: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
