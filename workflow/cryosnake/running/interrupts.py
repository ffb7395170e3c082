"""Interruption of programs: by an abort request within a second or two, and by SIGTERM, with a message.

Programs check for a request between units of work; one unit can take minutes (the motion of a large movie). So a thread
checks, too, and after two seconds interrupts a program that has not noticed the request, wherever it is. Compiled
kernels are interrupted when they return to Python.
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

CHECK_EVERY = 0.5  # seconds
CHECKS_BEFORE_INTERRUPT = 4  # that find the request: most programs stop by themselves


class Terminated(BaseException):
    """The process received SIGTERM. Not an Exception, lest it be recorded as the failure of one micrograph."""


@contextmanager
def interruptible(out: Path, progress: JobProgress) -> Iterator[None]:
    """Raise KeyboardInterrupt in the body on an abort request of a job directory, Terminated on SIGTERM.

    A program that has noticed the request by itself (`progress`) stops in its own way, undisturbed. Outside the main
    thread nothing is done: Python delivers signals only to the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, handler) for number, handler in
              ((signal.SIGUSR2, signal.default_int_handler), (signal.SIGTERM, _terminate))}
    done = threading.Event()
    watcher = threading.Thread(target=_interrupt_on_request, args=(out, progress, done, threading.get_ident()),
                               daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        for number, handler in former.items():
            signal.signal(number, handler)


def _interrupt_on_request(out: Path, progress: JobProgress, done: threading.Event, program: int) -> None:
    seen = 0
    while not (done.wait(CHECK_EVERY) or progress.heard):
        seen = seen + 1 if abort_requested(out) and exit_of(out) != Status.SUCCEEDED else 0
        if seen >= CHECKS_BEFORE_INTERRUPT:  # again until it stops: an interrupt in a destructor or a callback is lost
            signal.pthread_kill(program, signal.SIGUSR2)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated
