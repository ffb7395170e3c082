"""The processes that work on one job: a single one (without MPI), or the ranks that mpirun or srun started.

All data flow to rank 0, which decides, and back: `add_up` and `gather` end there, `broadcast` starts there. When one
rank fails or is asked to stop, every rank stops with the same `Problem`; see `mpi.py`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cryosnake.errors import Aborted, CryosnakeError


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why the ranks stop: where it happened, and a description for the user."""

    rank: int
    text: str
    _: KW_ONLY
    abort: bool = False  # requested, not an error
    trace: str = ""  # of an unexpected error
    relayed: bool = False  # happened on another rank, which informed this one

    def exception(self) -> Exception:
        """Return the exception to raise on the ranks where it did not happen."""
        return Aborted() if self.abort else CryosnakeError(self.text)


class Stopped(Exception):
    """All ranks agreed to stop; `problem` is the same on each."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


class StopHeard(Exception):
    """Another rank stops; its problem is not known here yet."""


class Computer(Protocol):
    """The ranks on one computer."""

    rank: int
    size: int

    def broadcast(self, value: Any) -> Any:
        """Return the value that the computer's first rank passed in, on all of them."""

    def meet(self) -> None:
        """Wait for the other ranks of the job."""

    def memory(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return a float32 array shared by the computer's ranks; its content is undefined."""


class Ranks(Protocol):
    """The ranks of one job."""

    rank: int
    size: int
    computer: Computer
    watch: Callable[[], None]  # called from time to time while rank 0 waits; may raise to stop all

    def check_stop(self) -> None:
        """Raise StopHeard if another rank stops. Cheap; called between blocks of particles."""

    def meet(self) -> None:
        """Wait for all; raises Stopped when one of them stops."""

    def add_up(self, array: np.ndarray | None, folder: Path | None = None) -> np.ndarray | None:
        """Return the sum of the ranks' arrays on rank 0, None on the others; a rank may pass None.

        The sum may overwrite the given array. With a folder the arrays are exchanged through files in it.
        """

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks on rank 0, an empty list on the others."""

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's value on all ranks."""

    def images(self, source: Any) -> AbstractContextManager[Any]:
        """Let rank 0 read the images for all ranks; see `sending.py`."""

    def fail(self, error: BaseException) -> Problem:
        """Stop all ranks, and return the problem on which they agree."""


class SingleComputer:
    """A single process."""

    rank, size = 0, 1

    def broadcast(self, value: Any) -> Any:
        """See `Computer`."""
        return value

    def meet(self) -> None:
        """See `Computer`."""

    def memory(self, shape: tuple[int, ...]) -> np.ndarray:
        """See `Computer`."""
        return np.empty(shape, np.float32)


class SingleRank:
    """A single process, which never waits."""

    rank, size = 0, 1

    def __init__(self) -> None:
        self.computer: Computer = SingleComputer()
        self.watch: Callable[[], None] = lambda: None

    def check_stop(self) -> None:
        """See `Ranks`."""

    def meet(self) -> None:
        """See `Ranks`."""

    def add_up(self, array: np.ndarray | None, folder: Path | None = None) -> np.ndarray | None:
        """See `Ranks`."""
        return array

    def gather(self, value: Any) -> list[Any]:
        """See `Ranks`."""
        return [value]

    def broadcast(self, value: Any) -> Any:
        """See `Ranks`."""
        return value

    def images(self, source: Any) -> AbstractContextManager[Any]:
        """See `Ranks`."""
        return nullcontext(source)

    def fail(self, error: BaseException) -> Problem:
        """See `Ranks`."""
        return problem_of(error, 0)


def on_each_rank(ranks: int) -> str:
    """Return what follows an amount in a message where each of several ranks takes it: " on each of 4 ranks"."""
    return f" on each of {ranks} ranks" if ranks > 1 else ""


def problem_of(error: BaseException, rank: int) -> Problem:
    """Return an exception as a problem that can be sent to the other ranks."""
    if isinstance(error, (Aborted, KeyboardInterrupt)):
        return Problem(rank=rank, text="aborted", abort=True)
    if isinstance(error, StopHeard):
        return Problem(rank=rank, text="", relayed=True)
    if isinstance(error, (CryosnakeError, OSError, MemoryError)):
        return Problem(rank=rank, text=str(error) or type(error).__name__)
    text = f"unexpected {type(error).__name__} on rank {rank}: {error}; this is a bug in cryosnake, please report it"
    return Problem(rank=rank, text=text, trace="".join(traceback.format_exception(error)))

