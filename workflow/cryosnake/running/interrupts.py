"""A program is stopped within a second or two of an abort request, and says so when it is ended by SIGTERM.

Programs look for a request between units of work; one unit can take minutes (the motion of a large movie). So a thread
looks, too, and interrupts a program that has not heard of the request for two seconds, wherever it is. Compiled kernels
are interrupted when they return to Python.
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
from cryosnake.running.progress import JobProgress

LOOK_EVERY = 0.5  # seconds
PATIENCE = 4  # looks that find the request before the program is interrupted: most hear it by themselves


class Terminated(BaseException):
    """The process was told to end by SIGTERM. No Exception: the micrograph at work must not take it for its own."""


@contextmanager
def interruptible(out: Path, progress: JobProgress) -> Iterator[None]:
    """Raise KeyboardInterrupt in the body on an abort request of a job directory, Terminated on SIGTERM.

    A program that has heard of the request by itself (`progress`) ends in its own way, undisturbed. Outside the main
    thread nothing is done: Python gives signals to the main thread alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, handler) for number, handler in
              ((signal.SIGUSR2, signal.default_int_handler), (signal.SIGTERM, _terminate))}
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(out, progress, done, threading.get_ident()), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        for number, handler in former.items():
            signal.signal(number, handler)


def _watch(out: Path, progress: JobProgress, done: threading.Event, program: int) -> None:
    seen = 0
    while not (done.wait(LOOK_EVERY) or progress.heard):
        seen = seen + 1 if abort_requested(out) and exit_of(out) != Status.SUCCEEDED else 0
        if seen >= PATIENCE:  # again until it ends: an interrupt in a destructor or a callback is lost
            signal.pthread_kill(program, signal.SIGUSR2)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated
