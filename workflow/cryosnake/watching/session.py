"""The session: survey the project, call Snakemake when there is something to do, wait; repeat until it is to stop.

All state is in the project, so that after a kill the next watcher continues.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from cryosnake.errors import CryosnakeError
from cryosnake.project.locks.snakemake_lock import running_claim
from cryosnake.project.planning.planned import Plan
from cryosnake.project.run.closing import tidy_results
from cryosnake.project.run.snakemake_marks import clear_stale_marks
from cryosnake.project.run.superseded import settle_superseded
from cryosnake.watching.announce import announce_state, print_line
from cryosnake.watching.calls import left_behind, pass_on
from cryosnake.watching.cores import given_cores
from cryosnake.watching.lanes import ALL, PARTICLES, reads_batches
from cryosnake.watching.owner import describe_watcher, only_watcher
from cryosnake.watching.requests import obey_requests
from cryosnake.watching.rounds import NOTHING, begin_rounds, collect
from cryosnake.watching.session_state import Session, StopRequest, WatchOptions
from cryosnake.watching.survey import read_config, survey

SHARE = 20  # surveys take at most 1/SHARE of the time


def run_session(options: WatchOptions) -> int:
    """Follow the project in the working directory to the end of the session; return 1 when its last round failed.

    Raises
    ------
    CryosnakeError
        when the project is watched already, or its config contains a mistake at the start
    """
    if options.stop_file.exists():
        raise CryosnakeError(f"{options.stop_file} exists, which stops a session; delete it to start one")
    read_config(options.snakemake)
    with only_watcher() as claim, _stopping_on_signals() as stop:
        session = Session(options, describe_watcher(claim), claim["since"], stop,
                          cores=given_cores(options.snakemake.others))
        _find_left_behind(session)
        announce_state(session, "waiting", f"starts in {options.wait:g} min" if options.wait else "")
        _rest(session, options.wait * 60)
        end = _run_rounds(session)
        _wait_for_calls(session)
        if not stop.times:
            _finish(session, end)
        options.stop_file.unlink(missing_ok=True)
        announce_state(session, "stopped", "asked to stop" if stop.times else end)
    return int(session.failed and not stop.times)


def _find_left_behind(session: Session) -> None:
    """Take over Snakemakes that outlived a watcher, each in its lane, to wait for them."""
    for lane in session.lanes.values():
        lane.call = left_behind(lane.name)
        if lane.call:
            lane.last_start = time.monotonic()
            lane.said = f"{lane.name or 'everything'}, of an earlier watcher ({lane.call.owner})"


def _run_rounds(session: Session) -> str:
    """Run rounds until the session is to stop; return why."""
    while True:
        started = time.monotonic()
        collect(session)
        end = _end(session)
        if end or session.stop.times:
            return end
        waits = _check_project(session)
        if any(session.calls()):
            session.active = time.monotonic()
        end = _idle_end(session) if waits else ""
        if end:
            return end
        announce_state(session, "paused" if waits and waits == session.trouble else "waiting", waits)
        _rest(session, max(session.options.every, SHARE * (time.monotonic() - started)))


def _check_project(session: Session, *, final: str = "", begin: bool = True) -> str:
    """Survey the project and start the calls that can start; return why none does, "" when one has.

    `final` says why this is the last survey; without `begin` it only updates the status.
    """
    options, whole = session.options, session.lanes[ALL].call
    other = running_claim(lanes=False)
    if other and not (whole and other.pid == whole.owner.pid):
        session.active = time.monotonic()  # there is activity, though not by this watcher
        return f"another run is in progress in this project ({other})"
    if whole:
        return "the current round covers everything"
    _obey_requests(session)
    session.trouble = ""
    try:
        config = read_config(options.snakemake)
        seal_after = config.seal_after if options.seal_after is None else options.seal_after
        busy = session.lanes[PARTICLES].call
        session.found = found = survey(config, session.seen, seal_after=seal_after, grow=1.0 if final else options.grow,
                                     keep_free=options.keep_free, seal=bool(final),
                                     hold=busy.task.hold if busy else ())
        _note_arrivals(session)
        if found.trouble or found.plan is None:
            for lane in session.lanes.values():
                lane.tried = ()
            session.trouble = found.trouble
            return found.trouble or NOTHING
        if not any(session.calls()):
            clear_stale_marks(found.plan)  # of programs that outlived their Snakemake: no call is running now
            tidy_results(found.plan.own)
            _settle_superseded(session, found.plan)
        reason = begin_rounds(session, found.plan, final=final) if begin else NOTHING
    except (CryosnakeError, OSError) as error:
        session.trouble = f"{error}; the session continues when this is fixed"
        return session.trouble
    if reason.startswith("the next round starts"):
        session.active = time.monotonic()  # it waits, it is not idle
    return reason


def _settle_superseded(session: Session, plan: Plan) -> None:
    """Do with superseded jobs what the config says, once after each call that may have made a successor."""
    if not session.settled:
        session.superseded, session.settled = settle_superseded(plan), True


def _obey_requests(session: Session) -> None:
    """Carry out requests to retry, unless a call works with the batches of micrographs."""
    plan, busy = session.found.plan, list(session.calls())
    if busy and (plan is None or any(reads_batches(plan, call.task.jobs) for call in busy)):
        return
    for line in obey_requests(beside_long_jobs=bool(busy)):
        print_line(line)


def _note_arrivals(session: Session) -> None:
    """Note files that arrived, grew or were deleted: the session is then not idle."""
    found = session.found
    now = (found.ready, found.imported, tuple((name, _size(name)) for name, _ in found.incomplete))
    if now != session.arrivals or found.trouble:
        session.arrivals, session.active = now, time.monotonic()


def _size(name: str) -> int:
    try:
        return os.stat(name).st_size
    except OSError:
        return 0


def _end(session: Session) -> str:
    options = session.options
    if options.stop_file.exists():
        return f"{options.stop_file} was found"
    flowing = any(call.task.lane != PARTICLES for call in session.calls())
    if options.rounds and session.rounds >= options.rounds and not flowing:
        return f"{options.rounds} rounds are done"
    return ""


def _idle_end(session: Session) -> str:
    options = session.options
    if options.idle_stop and time.monotonic() - session.active >= options.idle_stop * 60:
        return f"nothing happened for {options.idle_stop:g} min"
    return ""


def _finish(session: Session, end: str) -> None:
    """Seal waiting movies, and process everything in every job."""
    reason = _check_project(session, final=end)
    if not reason:
        _wait_for_calls(session)
        _check_project(session, final=end, begin=False)
    elif reason != NOTHING:
        session.failed = True
        print_line(f"what is left can't be processed: {reason}")


def _wait_for_calls(session: Session) -> None:
    """Wait until the calls have ended, but not for an earlier watcher's calls once this one is asked to stop."""
    while any(not session.stop.times or call.process for call in session.calls()):
        announce_state(session, "", "")
        _rest(session, min(session.options.every, 10.0))
        collect(session)


def _rest(session: Session, seconds: float) -> None:
    """Wait, but not past the end of a call or a request to stop; requests to stop are passed on to calls."""
    until = time.monotonic() + seconds
    asked = session.stop.times
    written = time.monotonic()
    while time.monotonic() < until and session.stop.times == asked and not collect(session):
        if session.options.stop_file.exists() and not any(session.calls()):
            return
        if any(session.calls()) and time.monotonic() - written >= min(session.options.every, 10.0):
            written = time.monotonic()
            announce_state(session, "", "")
        time.sleep(min(0.2, max(0.0, until - time.monotonic())))
    for call in session.calls():
        pass_on(call, session.stop.times)


@contextmanager
def _stopping_on_signals() -> Iterator[StopRequest]:
    stop = StopRequest()

    def count(number: int, frame: FrameType | None) -> None:
        stop.times += 1

    before = {number: signal.signal(number, count) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
