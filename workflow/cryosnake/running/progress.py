"""Progress of a job: a bar on a terminal, a line from time to time in a workflow; checks for an abort request too."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cryosnake.errors import Aborted
from cryosnake.human import human_time
from cryosnake.pipeline.markers import abort_requested

if TYPE_CHECKING:
    from rich.progress import Progress

CHECK_EVERY = 0.5  # seconds between checks for an abort request
SPEAK_EVERY = 60.0  # seconds between lines in a workflow, at least,
SPEAK_SHARE = 0.1  # and this share of the time that has passed: a day's job needs no line a minute


class JobProgress:
    """The progress function of rank 0 (`jobs.forms`); raises Aborted within a second of a request."""

    def __init__(self, out: Path, title: str, root_name: str = "run") -> None:
        self._out, self._title, self.root_name = out, title, root_name
        self.iteration_written: Callable[[int], None] = lambda number: None
        self.may_step_back = False  # an iteration that the job continues from by itself may be damaged
        self._last_check = 0.0
        self.heard = False  # an abort request was noticed
        self.found_finished = False  # a program of an earlier run, which was waited for, has finished the job
        in_workflow = "CRYOSNAKE_WORKFLOW" in os.environ
        self._speaker = _Speaker(f"{title} {out}") if in_workflow else None
        self._bar = None if in_workflow else _bar()
        self._task = None if self._bar is None else self._bar.add_task(title, total=None)

    def __call__(self, done: int, total: int, message: str = "") -> None:
        """Show the progress; raise Aborted when the user asked for it."""
        self.check_abort()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total, description=f"{self._title} {message}".strip())
        if self._speaker is not None:
            self._speaker.hear(done, total, message)

    def check_abort(self) -> None:
        """Raise Aborted when the user asked for it."""
        now = time.monotonic()
        if now - self._last_check >= CHECK_EVERY:
            self._last_check = now
            if abort_requested(self._out):
                self.heard = True
                raise Aborted

    def close(self) -> None:
        """Remove the bar from the screen."""
        if self._bar is not None:
            self._bar.stop()


class _Speaker:
    """Prints a line with the time left, of long jobs only: short ones end before the first."""

    def __init__(self, job: str) -> None:
        self._job, self._start = job, time.monotonic()
        self._spoken = self._since = self._start
        self._first = self._last = 0

    def hear(self, done: int, total: int, message: str) -> None:
        now = time.monotonic()
        if done < self._last or self._since == self._start:  # the first part, or the next iteration
            self._first, self._since = done, now
        self._last = done
        wait = max(SPEAK_EVERY, SPEAK_SHARE * (now - self._start))
        if self._first < done < total and now - self._spoken >= wait:
            left = (total - done) * (now - self._since) / (done - self._first)
            print(f"{self._job}: {100 * done // total} % ({message}), about {human_time(left)} left")
            self._spoken = now


def _bar() -> Progress | None:
    """Return a started progress bar; None without a terminal."""
    if not sys.stderr.isatty():
        return None
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                   console=Console(stderr=True), transient=True)
    bar.start()
    return bar
