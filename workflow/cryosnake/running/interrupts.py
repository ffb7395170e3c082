"""A program is stopped within a second or two of an abort request, and says so when it is ended by SIGTERM.

Programs look for a request between units of work; one unit can take minutes (the motion of a large movie). So a thread
looks too, and interrupts the program wherever it is. Compiled kernels are interrupted when they return to Python.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from cryosnake.pipeline.markers import abort_requested, exit_of
from cryosnake.pipeline.model import Status

LOOK_EVERY = 1.0  # seconds


class Terminated(BaseException):
    """The process was told to end by SIGTERM. No Exception: the micrograph at work must not take it for its own."""


@contextmanager
def interruptible(out: Path) -> Iterator[None]:
    """Raise KeyboardInterrupt in the body on an abort request of a job directory, Terminated on SIGTERM.

    Outside the main thread nothing is done: Python gives signals to the main thread alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, handler) for number, handler in
              ((signal.SIGUSR2, _abort), (signal.SIGTERM, _terminate))}
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(out, done, threading.get_ident()), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        for number, handler in former.items():
            signal.signal(number, handler)


def _watch(out: Path, done: threading.Event, program: int) -> None:
    while not done.wait(LOOK_EVERY):
        if abort_requested(out) and exit_of(out) != Status.SUCCEEDED:
            # again until it is heard: an interrupt in a destructor or a callback is lost
            signal.pthread_kill(program, signal.SIGUSR2)


def _abort(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated
