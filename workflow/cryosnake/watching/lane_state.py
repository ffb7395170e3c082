"""One lane of a session: its running call, the outcome of the last one, and when the next may start."""

from __future__ import annotations

import time
from dataclasses import KW_ONLY, dataclass
from typing import Any

from cryosnake.watching.calls import Call, log_of

SHORTEST_RETRY, LONGEST_RETRY = 60.0, 1800.0  # seconds until a failed round is retried when nothing is new


@dataclass
class Lane:
    """State of a lane; times are from `time.monotonic`."""

    name: str
    _: KW_ONLY
    call: Call | None = None
    rounds: int = 0
    said: str = ""  # the running round, or the outcome of the last one
    last_start: float = float("-inf")
    last_seconds: float = 0.0
    last_code: int | None = None
    tried: tuple[Any, ...] = ()  # files that the last round was to make
    pause: float = SHORTEST_RETRY


def why_not(lane: Lane, wanted: tuple[Any, ...], minutes: float) -> str:
    """Return why a round that makes `wanted` may not start now, "" when it may.

    Rounds start at least `minutes` apart. A round that failed to make the same files is tried again after a pause,
    which doubles each time.
    """
    now = time.monotonic()
    if now < lane.last_start + minutes * 60:
        return f"the next round starts {minutes:g} min after the last one started"
    if lane.tried != wanted:
        lane.pause = SHORTEST_RETRY
        return ""
    if lane.last_code == 0:
        return "nothing to do"  # Snakemake's decision counts more than file times
    if now < lane.last_start + lane.last_seconds + lane.pause:
        return (f"the last round failed, see {log_of(lane.name)}; tried again when something is new, or in "
                f"{lane.pause / 60:g} min")
    lane.pause = min(2 * lane.pause, LONGEST_RETRY)
    return ""


def note_begin(lane: Lane, call: Call, wanted: tuple[Any, ...]) -> None:
    """Note that a call runs in the lane."""
    lane.call, lane.tried, lane.last_start = call, wanted, time.monotonic()


def note_end(lane: Lane, code: int) -> None:
    """Note how the call of the lane ended; one that was cut short says nothing about its task."""
    assert lane.call is not None
    lane.last_seconds = time.monotonic() - lane.last_start
    if lane.call.cut or lane.call.process is None:
        lane.tried = ()
    else:
        lane.last_code = code
    lane.call = None
