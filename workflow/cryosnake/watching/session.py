"""The session: look, call Snakemake when there is something to do, wait, until an end is reached.

Nothing is remembered that a killed watcher would lose: what is done stands in the project, and the next one goes on.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from cryosnake.errors import CryosnakeError
from cryosnake.watching.counts import bad_micrographs, job_counts
from cryosnake.watching.look import FirstSeen, Look, look, read_config
from cryosnake.watching.owner import only_watcher, told
from cryosnake.watching.requests import obey_requests
from cryosnake.watching.snakemake_call import LOG, SnakemakeArguments, StopRequest, call, command, other_run
from cryosnake.watching.status_file import write_status

SHORTEST_RETRY, LONGEST_RETRY = 60.0, 1800.0  # seconds until a round that failed is tried again with nothing new
SHARE = 20  # a look takes at most one part in so many of the time


@dataclass(frozen=True)
class WatchOptions:
    """How a session goes; times in minutes but `every` (seconds), 0 for "never" or "no limit", `keep_free` in GB.

    `seal_after` overrides the config's; `grow` is the factor by which particles must have grown before a job that
    takes them begins again.
    """

    snakemake: SnakemakeArguments
    rounds: int = 0
    minutes: float = 0.0
    wait: float = 0.0
    idle_stop: float = 0.0
    stop_file: Path = Path("STOP_WATCH")
    every: float = 10.0
    seal_after: float | None = None
    grow: float = 2.0
    keep_free: float = 1.0


@dataclass
class _Session:
    options: WatchOptions
    watcher: str
    since: float
    stop: StopRequest
    seen: FirstSeen = field(default_factory=FirstSeen)
    found: Look = field(default_factory=Look)
    rounds: int = 0
    last_start: float = float("-inf")
    last_seconds: float = 0.0
    last_code: int | None = None
    tried: tuple[Any, ...] = ()  # what the last round was to make
    pause: float = SHORTEST_RETRY
    arrivals: tuple[Any, ...] = ()
    active: float = field(default_factory=time.monotonic)  # when something last arrived or was done
    said: str = ""


def watch(options: WatchOptions) -> int:
    """Follow the project in the working directory to the end of the session; return 1 when its last round failed.

    Raises
    ------
    CryosnakeError
        when the project is watched already, or its config holds a mistake at the start
    """
    if options.stop_file.exists():
        raise CryosnakeError(f"{options.stop_file} is there, which ends a session; delete it to begin one")
    read_config(options.snakemake)
    with only_watcher() as owner, _stopping_on_signals() as stop:
        session = _Session(options, told(owner), owner["since"], stop)
        _say(session, "waiting", f"begins in {options.wait:g} min" if options.wait else "")
        _rest(session, options.wait * 60)
        end = _follow(session)
        if not stop.times:
            _finish(session, end)
        options.stop_file.unlink(missing_ok=True)
        _say(session, "stopped", "asked to stop" if stop.times else end)
    return int(bool(session.last_code) and not stop.times)


def _follow(session: _Session) -> str:
    """Go on until an end is reached; return which."""
    while True:
        started = time.monotonic()
        waits = _one_look(session)
        end = _end(session, idle=bool(waits))
        if end or session.stop.times:
            return end
        if not waits:
            _round(session)
            continue
        cost = time.monotonic() - started
        _say(session, "paused" if waits == session.found.trouble else "waiting", waits)
        _rest(session, max(session.options.every, SHARE * cost))


def _one_look(session: _Session, *, final: bool = False) -> str:
    """Look at the project; return why no round begins now, or nothing."""
    options = session.options
    other = other_run()
    if other:
        session.active = time.monotonic()  # something is being done, if not by this watcher
        return f"another run is going on in this project (process {other['pid']} on {other['host']})"
    for line in obey_requests():
        _print(line)
    try:
        config = read_config(options.snakemake)
        seal_after = config.seal_after if options.seal_after is None else options.seal_after
        session.found = found = look(config, session.seen, seal_after=seal_after, grow=1.0 if final else options.grow,
                                     keep_free=options.keep_free, seal=final)
    except (CryosnakeError, OSError) as error:
        return f"{error}; the session goes on when this is mended"
    _note_arrivals(session)
    if found.trouble or not found.pending:
        session.tried = ()
        return found.trouble or "nothing to do"
    return "" if final else _too_soon(session)


def _too_soon(session: _Session) -> str:
    now = time.monotonic()
    if now < session.last_start + session.options.minutes * 60:
        session.active = now  # it waits, it is not idle
        return f"the next round begins {session.options.minutes:g} min after the last one began"
    if session.tried != (session.found.pending, session.found.full_only):
        session.pause = SHORTEST_RETRY
        return ""
    if session.last_code == 0:
        return "nothing to do"  # Snakemake knows better than times of files
    if now < session.last_start + session.last_seconds + session.pause:
        return f"the last round failed, see {LOG}; tried again when something is new, or in {session.pause / 60:g} min"
    session.pause = min(2 * session.pause, LONGEST_RETRY)
    return ""


def _note_arrivals(session: _Session) -> None:
    """Files that came, grew or went are signs of life: the session is not idle."""
    found = session.found
    now = (found.ready, found.imported, tuple((name, _size(name)) for name, _ in found.incomplete))
    if now != session.arrivals or found.trouble:
        session.arrivals, session.active = now, time.monotonic()


def _size(name: str) -> int:
    try:
        return os.stat(name).st_size
    except OSError:
        return 0


def _end(session: _Session, *, idle: bool) -> str:
    options = session.options
    if options.stop_file.exists():
        return f"{options.stop_file} was found"
    if options.rounds and session.rounds >= options.rounds:
        return f"{options.rounds} rounds are done"
    if idle and options.idle_stop and time.monotonic() - session.active >= options.idle_stop * 60:
        return f"nothing happened for {options.idle_stop:g} min"
    return ""


def _finish(session: _Session, end: str) -> None:
    """Seal what waits, and let every job have all that there is."""
    reason = _one_look(session, final=True)
    if not reason:
        _round(session, final=True, why=end)
        _one_look(session, final=True)  # for the status
    elif reason != "nothing to do":
        session.last_code = session.last_code or 1
        _print(f"what is left can't be processed: {reason}")


def _round(session: _Session, *, final: bool = False, why: str = "") -> None:
    found, options = session.found, session.options
    config = {"full_batches": found.full_only, "grow": 1.0 if final else options.grow}
    words = command(options.snakemake, config)
    session.rounds += 1
    number = "the last round" if final else f"round {session.rounds}"
    _say(session, "running", f"{number}: {len(found.pending)} files to make" + (f" ({why})" if why else ""))
    session.last_start = written = time.monotonic()

    def tick() -> None:
        nonlocal written
        if time.monotonic() - written >= min(options.every, 10.0):
            written = time.monotonic()
            _write(session, "stopping" if session.stop.times else "running", number)

    try:
        session.last_code = call(words, session.stop, tick)
    except OSError as error:  # a full disk may leave no room for a log
        session.last_code = 1
        _print(f"{number}: {error}")
    session.last_seconds = time.monotonic() - session.last_start
    session.tried = (found.pending, found.full_only)
    session.active = time.monotonic()
    _print(f"{number}: {session.last_seconds:.0f} s" + (f", exit code {session.last_code}: see {LOG}"
                                                         if session.last_code else ""))


def _rest(session: _Session, seconds: float) -> None:
    """Wait, but not past a request to stop."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not session.stop.times and not session.options.stop_file.exists():
        time.sleep(min(0.2, max(0.0, until - time.monotonic())))


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


def _say(session: _Session, state: str, reason: str) -> None:
    if f"{state}: {reason}" != session.said:
        session.said = f"{state}: {reason}"
        _print(session.said.rstrip(": "))
    _write(session, state, reason)


def _write(session: _Session, state: str, reason: str) -> None:
    found = session.found
    jobs = list(found.plan.jobs.values()) if found.plan else []
    write_status({
        "title": found.title, "state": state, "reason": reason, "time": time.time(), "watcher": session.watcher,
        "since": session.since, "rounds": session.rounds, "last_code": session.last_code,
        "last_seconds": round(session.last_seconds, 1), "log": str(LOG),
        "movies": {"imported": found.imported, "ready": len(found.ready), "oldest_minutes": round(found.oldest, 2),
                   "seal_after": found.seal_after, "incomplete": [list(item) for item in found.incomplete]},
        "jobs": job_counts(jobs), "bad": bad_micrographs(jobs)})


def _print(line: str) -> None:
    with suppress(OSError):  # a log on a full disk does not end the session
        print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)
