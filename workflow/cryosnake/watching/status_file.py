"""watch_status.json and watch_status.txt: the watcher's status, for everybody who may read the project."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryosnake.atomic import replacing
from cryosnake.errors import CryosnakeError
from cryosnake.human import human_size

JSON, TEXT = Path("watch_status.json"), Path("watch_status.txt")
SHOWN = 20


def write_status(status: Mapping[str, Any]) -> None:
    """Replace both files; on a full disk the old ones stay, and the watcher continues."""
    for path, text in ((JSON, json.dumps(status, indent=1) + "\n"), (TEXT, as_text(status))):
        with suppress(OSError, CryosnakeError), replacing(path) as temporary:
            temporary.write_text(text)


def as_text(status: Mapping[str, Any]) -> str:
    """Return the status as text for people."""
    movies = status["movies"]
    reason = f", {status['reason']}" if status["reason"] else ""
    lines = [f"{status['title'] or 'project'}: {status['state']}{reason}",
             f"written {_clock(status['time'])} by {status['watcher']}, started {_clock(status['since'])}", "",
             f"movies: {movies['imported']} in batches, {movies['ready']} complete and waiting for a full batch, "
             f"{len(movies['incomplete'])} not complete yet"]
    if movies["ready"]:
        lines.append(f"        the oldest has waited {movies['oldest_minutes']:.1f} min; the batch is sealed after "
                     f"{movies['seal_after']:g} min")
    lines += [f"        {name}: {reason}" for name, reason in movies["incomplete"][:SHOWN]]
    lines += ["", f"rounds: {status['rounds']}" + (f"; the last took {status['last_seconds']:.0f} s and "
              + ("succeeded" if status["last_code"] == 0 else f"failed (exit code {status['last_code']}): see "
                 f"{status['log']}") if status["rounds"] and status["last_code"] is not None else ""), ""]
    lines += [f"{lane['lane'] + ':':20} {lane['said'].partition(', ')[2]}" for lane in status["lanes"]]
    lines += [""] if status["lanes"] else []
    lines += [_job_line(job) for job in status["jobs"]]
    old = status["superseded"]
    if old.get("jobs"):
        lines += ["", f"{old['jobs']} superseded jobs take {human_size(old['bytes'])} (`superseded` in config.yaml)"]
    bad = status["bad"]
    if bad:
        lines += ["", f"{len(bad)} failed; to try them again, `cryosnake retry JOB`:"]
        lines += [f"  {item['job']}  {item['micrograph']}: {item['reason']}" for item in bad[:SHOWN]]
    lines += [""] if status["for_you"] else []
    return "\n".join(lines + list(status["for_you"])) + "\n"


def _job_line(job: Mapping[str, Any]) -> str:
    if "done" not in job:
        state = job["waits"] or ("complete" if job["complete"] else "to do")
        return f"{job['job']:20} {job['name']:14} {state}"
    extra = "".join(f", {job[key]} {key}" for key in ("failed", "rejected") if job[key])
    return f"{job['job']:20} {job['name']:14} {job['done']} done{extra}"


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
