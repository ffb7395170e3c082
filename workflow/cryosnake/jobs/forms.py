"""The two forms of programs (docs/architecture.md), and what a program says while it works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

Row = dict[str, Any]  # of a STAR table, by label


class Progress(Protocol):
    """What a program calls now and then."""

    def __call__(self, done: int, total: int, message: str, /) -> None:
        """Say how far the program is; may raise, to stop it."""


class IterationProgress(Progress, Protocol):
    """What an iterative program calls besides."""

    @property
    def root_name(self) -> str:
        """What the names of the job's files begin with: run, or run_ct25."""

    def iteration_written(self, number: int, /) -> None:
        """Say that all files of an iteration are there."""


class WholeJob(Protocol):
    """A program that takes its whole input at once."""

    def run(self, options: Any, inputs: Mapping[str, Path], out: Path, progress: IterationProgress) -> None:
        """Read `inputs[slot]`, and write the definition's outputs below `out`."""


class PerMicrograph(Protocol):
    """A program that works on one micrograph at a time.

    It may have update_optics(optics, options) or optics_of_output(groups, options, inputs), table(options), and
    finalise(options, inputs, out, star) besides; without input slots it is a `FileSource` too.
    """

    def prepare(self, options: Any, optics: Row, inputs: Mapping[str, Path]) -> Any:
        """Return what the micrographs of a batch and optics group have in common."""

    def process(self, row: Row, optics: Row, state: Any, root: Path) -> Row | list[Row]:
        """Make the products of a micrograph, below `root`, and return its row(s) of the output STAR."""


class FileSource(Protocol):
    """What lists the files that a project begins with."""

    def rows(self, options: Any, names: Sequence[str]) -> dict[str, Row]:
        """Return the row of each file."""

    def optics(self, options: Any) -> dict[int, Row]:
        """Return the optics groups by number."""
