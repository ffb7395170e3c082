"""Progress of a job: a bar on a terminal, nothing elsewhere; each report also checks for an abort request."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cryosnake.errors import Aborted
from cryosnake.pipeline.markers import abort_requested

if TYPE_CHECKING:
    from rich.progress import Progress

CHECK_EVERY = 0.5  # seconds between checks for an abort request


class JobProgress:
    """The progress function of rank 0 (`jobs.forms`); raises Aborted within a second of a request."""

    def __init__(self, out: Path, title: str, root_name: str = "run") -> None:
        self._out, self._title, self.root_name = out, title, root_name
        self.iteration_written: Callable[[int], None] = lambda number: None
        self.may_step_back = False  # an iteration that the job continues from by itself may be damaged
        self._last_check = 0.0
        self.heard = False  # an abort request was noticed
        self.found_finished = False  # a program of an earlier run, which was waited for, has finished the job
        self._bar = _bar()
        self._task = None if self._bar is None else self._bar.add_task(title, total=None)

    def __call__(self, done: int, total: int, message: str = "") -> None:
        """Show the progress; raise Aborted when the user asked for it."""
        self.check_abort()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total, description=f"{self._title} {message}".strip())

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


def _bar() -> Progress | None:
    """Return a started progress bar; None without a terminal, and for a job of a workflow."""
    if not sys.stderr.isatty() or os.environ.get("CRYOSNAKE_WORKFLOW"):
        return None
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                   console=Console(stderr=True), transient=True)
    bar.start()
    return bar
