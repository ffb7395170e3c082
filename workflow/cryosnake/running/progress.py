"""Progress of long work: a bar for a person at a terminal, nothing otherwise; and the place where a job is aborted."""

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

LOOK_EVERY = 0.5  # seconds between looks for an abort request


class JobProgress:
    """What rank 0 gives to its program (`jobs.forms`); raises Aborted within a second of the request."""

    def __init__(self, out: Path, title: str, root_name: str = "run") -> None:
        self._out, self._title, self.root_name = out, title, root_name
        self.iteration_written: Callable[[int], None] = lambda number: None
        self._last_look = 0.0
        self.heard = False  # of an abort request
        self.found_finished = False  # the job, by a program of an earlier run that was waited for
        self._bar = _bar()
        self._task = None if self._bar is None else self._bar.add_task(title, total=None)

    def __call__(self, done: int, total: int, message: str = "") -> None:
        """Show how far the work is; raise Aborted when somebody asked for it."""
        self.look()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total, description=f"{self._title} {message}".strip())

    def look(self) -> None:
        """Raise Aborted when somebody asked for it."""
        now = time.monotonic()
        if now - self._last_look >= LOOK_EVERY:
            self._last_look = now
            if abort_requested(self._out):
                self.heard = True
                raise Aborted

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.stop()


def _bar() -> Progress | None:
    """Return a started progress bar, or None: not a terminal, or one of many jobs of a workflow."""
    if not sys.stderr.isatty() or os.environ.get("CRYOSNAKE_WORKFLOW"):
        return None
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                   console=Console(stderr=True), transient=True)
    bar.start()
    return bar
