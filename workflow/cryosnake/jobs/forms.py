"""The two forms of programs (docs/architecture.md), and how a program reports its progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Row = dict[str, Any]  # of a STAR table, by label
PICKED_ON = "csnPickedOn"  # in the row given to a program: the other micrograph of this movie that coordinates are of


@dataclass(frozen=True)
class Partly:
    """The rows of a micrograph of which some particles were left out, and why, as one line of text."""

    rows: list[Row]
    left_out: str


class Progress(Protocol):
    """Function that a program calls from time to time."""

    def __call__(self, done: int, total: int, message: str, /) -> None:
        """Report progress; may raise, to stop the program."""


class IterationProgress(Progress, Protocol):
    """Further functions that an iterative program calls."""

    @property
    def root_name(self) -> str:
        """Prefix of the names of the job's files: run, or run_ct25."""

    def iteration_written(self, number: int, /) -> None:
        """Report that all files of an iteration have been written."""


class WholeJob(Protocol):
    """A program that takes its whole input at once."""

    def run(self, options: Any, inputs: Mapping[str, Path], out: Path, progress: IterationProgress) -> None:
        """Read `inputs[slot]`, and write the definition's outputs below `out`."""


class PerMicrograph(Protocol):
    """A program that works on one micrograph at a time.

    It may also have update_optics(optics, options) or optics_of_output(groups, options, inputs), table(options),
    finalise(options, inputs, out, star), and unknown(state, names), which returns what its tables list of micrographs
    that are none of the names: table to micrograph to text. Without input slots it is also a `FileSource`.
    """

    def prepare(self, options: Any, optics: Row, inputs: Mapping[str, Path]) -> Any:
        """Return the state shared by the micrographs of a batch and optics group."""

    def process(self, row: Row, optics: Row, state: Any, root: Path) -> Row | list[Row] | Partly:
        """Make the products of a micrograph below `root`, and return its row(s) of the output STAR."""


class FileSource(Protocol):
    """A program that lists the input files of a project."""

    def rows(self, options: Any, names: Sequence[str]) -> dict[str, Row]:
        """Return the row of each file."""

    def optics(self, options: Any) -> dict[int, Row]:
        """Return the optics groups by number."""
