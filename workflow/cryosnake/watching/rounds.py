"""Rounds: start the calls of Snakemake that may start, and note how they ended."""

from __future__ import annotations

import time
from typing import Any

from cryosnake.project.planning.planned import Plan
from cryosnake.project.records.disk import BATCHES
from cryosnake.watching.announce import print_line
from cryosnake.watching.calls import begin, cut_short, exit_code, has_begun, log_of
from cryosnake.watching.cores import shared_cores
from cryosnake.watching.lane_state import Lane, note_begin, note_end, why_not
from cryosnake.watching.lanes import (
    ALL,
    MICROGRAPHS,
    PARTICLES,
    Task,
    can_run_beside,
    micrographs_task,
    needs_one_call,
    particles_task,
    surviving_task,
    whole_task,
)
from cryosnake.watching.session_state import Session
from cryosnake.watching.snakemake_call import command

NOTHING = "nothing to do"
_BUSY = "waits for the current round to finish"


def begin_rounds(session: Session, plan: Plan, *, final: str = "") -> str:
    """Start each call that may start; return why none does, "" when one has.

    `final` says why this is the last round, which covers everything.
    """
    if final or _wants_one_call(session, plan):
        return _begin_one(session, session.lanes[ALL], whole_task(plan), _BUSY if any(session.calls()) else "", final)
    reasons = [_begin_particles(session, plan), _begin_micrographs(session, plan)]
    return "" if "" in reasons else next((reason for reason in reasons if reason != NOTHING), NOTHING)


def collect(session: Session) -> bool:
    """Note the calls that have ended; return whether one has."""
    ended = False
    for lane in session.lanes.values():
        code = exit_code(lane.call) if lane.call else None
        if code is not None:
            _note_end(session, lane, code)
            ended = True
    return ended


def _wants_one_call(session: Session, plan: Plan) -> bool:
    """Whether one call must do everything: lanes are switched off, or not possible."""
    if session.options.micrograph_cores == 0 or needs_one_call(plan):
        return True
    return not session.lanes[PARTICLES].call and not particles_task(plan).jobs


def _begin_particles(session: Session, plan: Plan) -> str:
    lane, other = session.lanes[PARTICLES], session.lanes[MICROGRAPHS].call
    if lane.call:
        return NOTHING
    task = particles_task(plan)
    blocked = other and not (has_begun(other) and can_run_beside(task, other.task))
    return _begin_one(session, lane, task, _BUSY if blocked else "")


def _begin_micrographs(session: Session, plan: Plan) -> str:
    lane, other = session.lanes[MICROGRAPHS], session.lanes[PARTICLES].call
    if lane.call:
        return NOTHING
    task = micrographs_task(plan, other.task if other else surviving_task(plan))
    return _begin_one(session, lane, task, _BUSY if other and not has_begun(other) else "")


def _begin_one(session: Session, lane: Lane, task: Task, blocked: str, final: str = "") -> str:
    if not task.pending:
        lane.tried = ()
        return NOTHING
    reason = blocked or ("" if final else why_not(lane, _wanted(session, task), session.options.minutes))
    if not reason:
        _begin(session, lane, task, final)
    return reason


def _begin(session: Session, lane: Lane, task: Task, final: str) -> None:
    found, options, cores = session.found, session.options, _cores(session, task)
    config: dict[str, Any] = {"full_batches": found.full_only, "grow": 1.0 if final else options.grow}
    if task.lane:
        config |= {"lane": task.lane, "only": _listed(task.jobs)}
        config |= {"hold": _listed(task.hold)} if task.hold else {}
    words = command(options.snakemake, config, cores=cores, in_lane=bool(task.lane))
    lane.rounds += 1
    session.rounds += task.lane != PARTICLES
    number = f"{task.lane}, round {lane.rounds}" if task.lane else f"round {session.rounds}"
    name = "the last round" if final else number
    room = f" on {cores} core{'s' * (cores > 1)}" if cores else ""
    lane.said = f"{name}: {len(task.pending)} files to make{room}" + (f" ({final})" if final else "")
    print_line(lane.said)
    try:
        note_begin(lane, begin(words, task), _wanted(session, task))
    except OSError as error:  # a full disk may have no space for a log
        lane.last_code, lane.tried, lane.last_start = 1, _wanted(session, task), time.monotonic()
        session.last, session.failed = lane, True
        print_line(f"{name}: {error}")


def _wanted(session: Session, task: Task) -> tuple[Any, ...]:
    """Return the files for which a failed round is not repeated at once: long jobs, not for each new batch."""
    if task.lane == PARTICLES:
        return (tuple(path for path in task.pending if f"/{BATCHES}/" not in path),)
    return (task.pending, session.found.full_only)


def _listed(words: tuple[str, ...]) -> str:
    """Return a list for Snakemake's command line; the comma at the end keeps a number a string."""
    return "".join(f"{word}," for word in words)


def _cores(session: Session, task: Task) -> int | None:
    """Return the cores for a call, None for all cores that the user gave."""
    if session.cores is None or not (task.beside or task.lane == PARTICLES):
        return None
    kept = session.options.micrograph_cores
    micrographs, particles = shared_cores(session.cores, session.cores // 4 if kept is None else kept)
    return particles if task.lane == PARTICLES else micrographs


def _note_end(session: Session, lane: Lane, code: int) -> None:
    assert lane.call is not None
    known = lane.call.process is not None and not lane.call.cut
    note_end(lane, code)
    if known:
        session.last, session.failed = lane, code != 0
    session.active = time.monotonic()
    session.settled = session.settled and lane.name == MICROGRAPHS
    name = lane.said.partition(":")[0] or "the round of an earlier watcher"
    lane.said = f"{name}: {lane.last_seconds:.0f} s" + (f", exit code {code}: see {log_of(lane.name)}"
                                                        if known and code else "")
    print_line(lane.said)
    flowing = session.lanes[MICROGRAPHS].call
    if lane.name == PARTICLES and flowing and flowing.task.beside:
        cut_short(flowing)  # the next one gets all cores, and joins the held tables
