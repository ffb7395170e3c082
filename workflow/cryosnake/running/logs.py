"""run.out and run.err: everything that a job prints is appended to them, as well as printed on the terminal."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from cryosnake.atomic import own_file


class _Tee(io.TextIOBase):
    """A text stream that writes to two others, in whole lines: many programs of a workflow share one terminal."""

    def __init__(self, terminal: TextIO, log: TextIO) -> None:
        self._terminal, self._log, self._line = terminal, log, ""

    def write(self, text: str) -> int:
        self._line += text
        lines, end, self._line = self._line.rpartition("\n")
        if end:
            self._put(lines + end)
        return len(text)

    def flush(self) -> None:
        self._terminal.flush()

    def finish(self) -> None:
        """Write the last line, if it has no line end yet."""
        self._put(self._line)
        self._line = ""

    def _put(self, text: str) -> None:
        for stream in (self._log, self._terminal):
            stream.write(text)
            stream.flush()

    def isatty(self) -> bool:
        return self._terminal.isatty()

    def fileno(self) -> int:
        return self._terminal.fileno()


@contextlib.contextmanager
def copied_to_logs(out: Path) -> Iterator[None]:
    """Copy stdout to run.out and stderr to run.err of a job directory inside the `with` block."""
    with _log(out / "run.out") as run_out, _log(out / "run.err") as run_err:
        stdout, stderr = _Tee(sys.stdout, run_out), _Tee(sys.stderr, run_err)
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            try:
                yield
            finally:
                stdout.finish()
                stderr.finish()


def _log(path: Path) -> TextIO:
    return open(path, "a", encoding="utf-8", errors="backslashreplace", opener=own_file)
