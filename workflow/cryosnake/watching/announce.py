"""Announcements of a session: a printed line for each change, and the status files."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from cryosnake.project.planning.choices import waiting_for_you
from cryosnake.watching.calls import log_of
from cryosnake.watching.counts import bad_micrographs, job_counts
from cryosnake.watching.lane_state import Lane
from cryosnake.watching.session_state import Session
from cryosnake.watching.status_file import write_status


def announce_state(session: Session, state: str, reason: str) -> None:
    """Write the status, and print a line when it has changed: the running rounds, then a reason to pause."""
    if any(session.calls()):
        said = [lane.said for lane in session.lanes.values() if lane.call] + ([reason] if state == "paused" else [])
        state, reason = "stopping" if session.stop.times else "running", "; ".join(said)
    if f"{state}: {reason}" != session.said:
        session.said = f"{state}: {reason}"
        print_line(session.said.rstrip(": "))
    write_state(session, state, reason)


def write_state(session: Session, state: str, reason: str) -> None:
    """Write the status files."""
    found, last = session.found, session.last
    jobs = list(found.plan.jobs.values()) if found.plan else []
    write_status({
        "title": found.title, "state": state, "reason": reason, "time": time.time(), "watcher": session.watcher,
        "since": session.since, "rounds": session.rounds, "last_code": last.last_code if last else None,
        "last_seconds": round(last.last_seconds, 1) if last else 0.0, "log": str(log_of(last.name if last else "")),
        "lanes": [_lane(lane) for lane in session.lanes.values() if lane.name and lane.rounds],
        "movies": {"imported": found.imported, "ready": len(found.ready), "oldest_minutes": round(found.oldest, 2),
                   "seal_after": found.seal_after, "incomplete": [list(item) for item in found.incomplete]},
        "jobs": job_counts(jobs),
        "for_you": [waiting.line for waiting in waiting_for_you(found.plan)] if found.plan else [],
        "superseded": dict(session.superseded), "bad": bad_micrographs(jobs)})


def print_line(line: str) -> None:
    """Print a line with the time of day; a log on a full disk does not stop the session."""
    with suppress(OSError):
        print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def _lane(lane: Lane) -> dict[str, Any]:
    return {"lane": lane.name, "state": "running" if lane.call else "waiting", "said": lane.said,
            "rounds": lane.rounds, "last_code": lane.last_code, "last_seconds": round(lane.last_seconds, 1),
            "log": str(log_of(lane.name))}
