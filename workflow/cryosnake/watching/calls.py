"""A running call of Snakemake: its log, how to stop it, and how the next watcher finds it after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, asdict, dataclass
from pathlib import Path

from cryosnake.atomic import own_file, write_text
from cryosnake.json_files import read_json
from cryosnake.processes import ProcessId, process, read_process
from cryosnake.project.config.config import BY_WATCHER
from cryosnake.project.locks.snakemake_lock import lane_has_begun
from cryosnake.watching.lanes import ALL, PARTICLES, Task

LOGS = {ALL: Path(".cryosnake", "watch.log"), PARTICLES: Path(".cryosnake", "watch_particles.log")}
LOG_BYTES = 50_000_000  # a longer one is renamed and replaces the one renamed before
_KEPT = ("lane", "jobs", "hold", "beside")  # fields of a task that the next watcher needs


@dataclass
class Call:
    """One Snakemake and its task; `process` is None for one that a killed watcher left behind.

    `signals` counts the signals sent to it; `cut` says that the watcher itself asked it to stop.
    """

    task: Task
    owner: ProcessId
    process: subprocess.Popen[bytes] | None = None
    _: KW_ONLY
    signals: int = 0
    cut: bool = False


def log_of(lane: str) -> Path:
    """Return the file with Snakemake's own output."""
    return LOGS.get(lane, LOGS[ALL])


def begin(words: Sequence[str], task: Task) -> Call:
    """Start Snakemake in its own process session: Ctrl-C reaches only the watcher, which passes it on as needed."""
    log_file = log_of(task.lane)
    log_file.parent.mkdir(exist_ok=True)
    if log_file.exists() and log_file.stat().st_size > LOG_BYTES:
        os.replace(log_file, log_file.with_suffix(".log.1"))
    with open(log_file, "ab", opener=own_file) as log:
        started = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                   start_new_session=True, env={**os.environ, BY_WATCHER: "1"})
    owner = process(started.pid)
    with suppress(OSError):
        write_text(_round_file(task.lane), json.dumps({**asdict(owner), **{key: getattr(task, key) for key in _KEPT}}))
    return Call(task, owner, started)


def left_behind(lane: str) -> Call | None:
    """Return the call of a lane that outlived its watcher, None when there is none."""
    try:
        found = read_json(_round_file(lane))
    except (OSError, ValueError):
        return None
    owner = read_process(found)
    if owner is None or not owner.lives():
        return None
    task = Task(lane, tuple(found.get("jobs", ())), tuple(found.get("hold", ())), (), beside=bool(found.get("beside")))
    return Call(task, owner)


def exit_code(call: Call) -> int | None:
    """Return the exit code of a call, None while it runs; 0 for another watcher's call, whose code is unknown."""
    if call.process is not None:
        return call.process.poll()
    return None if call.owner.lives() else 0


def has_begun(call: Call) -> bool:
    """Whether a call has written its plan to disk: job numbers and batches."""
    return lane_has_begun(call.task.lane, call.owner.pid)


def pass_on(call: Call, times: int) -> None:
    """Pass on to a call the watcher's `times` requests to stop.

    Once: finish what runs and start nothing more (SIGTERM); twice: interrupt the jobs (SIGINT); three times: SIGKILL.
    """
    while call.process is not None and call.signals < times and call.process.poll() is None:
        call.signals += 1
        with suppress(ProcessLookupError):
            if call.signals == 1:
                call.process.send_signal(signal.SIGTERM)
            else:
                os.killpg(call.process.pid, signal.SIGINT if call.signals == 2 else signal.SIGKILL)


def cut_short(call: Call) -> None:
    """Let a call finish what it computes and start nothing more; another, with other cores, does the rest."""
    call.cut = True
    pass_on(call, 1)


def _round_file(lane: str) -> Path:
    return Path(".cryosnake", f"round_{lane}.json" if lane else "round.json")
