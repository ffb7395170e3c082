"""run.out and run.err: everything that a job prints, appended, while it still reaches the terminal."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


class _Tee(io.TextIOBase):
    """A text stream that writes to two."""

    def __init__(self, terminal: TextIO, log: TextIO) -> None:
        self._terminal, self._log = terminal, log

    def write(self, text: str) -> int:
        self._log.write(text)
        self._log.flush()
        return self._terminal.write(text)

    def flush(self) -> None:
        self._terminal.flush()

    def isatty(self) -> bool:
        return self._terminal.isatty()

    def fileno(self) -> int:
        return self._terminal.fileno()


@contextlib.contextmanager
def copied_to_logs(out: Path) -> Iterator[None]:
    """Copy stdout to run.out and stderr to run.err of a job directory inside the `with` block."""
    with open(out / "run.out", "a") as run_out, open(out / "run.err", "a") as run_err:
        stdout, stderr = _Tee(sys.stdout, run_out), _Tee(sys.stderr, run_err)
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            yield
