"""MPI ranks that never leave each other waiting: a rank that fails informs the others.

Before data are exchanged all ranks meet in a small reduction that also says whether one of them has a problem; a rank
that fails takes part in one last such meeting. So that the others do not continue computing until then, it also
sends each a short message, which they check for between blocks. Waiting ranks sleep: MPI's own waiting would occupy
a core.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cryosnake.parallel import transfer
from cryosnake.parallel.disc_sums import add_up_through_disc
from cryosnake.parallel.mpi_computer import MpiComputer
from cryosnake.parallel.ranks import Computer, Problem, StopHeard, Stopped, problem_of

_CHECK_EVERY = 0.5  # seconds between checks for an abort request while waiting


class MpiRanks:
    """All ranks of MPI.COMM_WORLD; see `Ranks`."""

    def __init__(self, mpi: Any) -> None:
        self._mpi = mpi
        self._comm, self._control = mpi.COMM_WORLD.Dup(), mpi.COMM_WORLD.Dup()
        self.rank, self.size = self._comm.rank, self._comm.size
        self.computer: Computer = MpiComputer(mpi, self._comm, self.meet)
        self.watch: Callable[[], None] = lambda: None
        self._pending: Problem | None = None
        self._heard: set[int] = set()
        self._warnings: list[Any] = []
        self._agreed: Problem | None = None

    def check_stop(self) -> None:
        """See `Ranks`."""
        if self._pending is None and (message := self._control.improbe()) is not None:
            self._heard.add(message.recv())  # a matched probe: a thread that reads ahead may probe at the same time
        if self._pending is not None or self._heard:
            raise StopHeard

    def meet(self) -> None:
        """See `Ranks`."""
        self._meet(self._pending)

    def add_up(self, array: np.ndarray | None, folder: Path | None = None) -> np.ndarray | None:
        """See `Ranks`."""
        self.meet()
        if folder is not None:
            return add_up_through_disc(self, array, folder)
        return transfer.add_up(self._mpi, self._comm, array)

    def gather(self, value: Any) -> list[Any]:
        """See `Ranks`."""
        self.meet()
        return transfer.gather(self._comm, value)

    def broadcast(self, value: Any) -> Any:
        """See `Ranks`."""
        self.meet()
        return transfer.broadcast(self._comm, value)

    def images(self, source: Any) -> AbstractContextManager[Any]:
        """See `Ranks`."""
        from cryosnake.parallel.sending import sent_images

        return sent_images(self._mpi, self._comm, source, self.check_stop)

    def fail(self, error: BaseException) -> Problem:
        """See `Ranks`."""
        if self._agreed is None:
            problem = self._pending or problem_of(error, self.rank)
            if not problem.relayed:
                self._warn()
            try:
                self._meet(problem)
            except Stopped as stopped:
                self._agreed = stopped.problem
        assert self._agreed is not None
        return self._agreed

    def _meet(self, problem: Problem | None) -> None:
        mine, worst = np.array([problem is not None], np.int32), np.zeros(1, np.int32)
        self._wait(self._comm.Iallreduce(mine, worst, self._mpi.MAX))
        if worst[0] == 0:
            return
        problem = problem or self._pending  # one that came up while waiting
        shortened = problem and replace(problem, trace=problem.trace[-4000:])
        everybody = self._comm.allgather((shortened, bool(self._warnings)))
        for rank, (_, warned) in enumerate(everybody):
            if warned and rank not in self._heard | {self.rank}:
                self._control.recv(source=rank)
        self._mpi.Request.waitall(self._warnings)
        self._agreed = next(item for item, _ in everybody if item is not None and not item.relayed)
        raise Stopped(self._agreed)

    def _wait(self, request: Any) -> None:
        pause, last_check = 1e-5, time.monotonic()
        while not request.Test():
            try:
                time.sleep(pause)
                pause = min(2 * pause, 2e-3)
                if time.monotonic() - last_check >= _CHECK_EVERY and self._pending is None:
                    last_check = time.monotonic()
                    self.watch()
            except BaseException as error:  # raised at the next meeting: the others are still joining this one
                self._pending = self._pending or problem_of(error, self.rank)
                self._warn()

    def _warn(self) -> None:
        if not self._warnings:
            self._warnings = [self._control.isend(self.rank, dest=other) for other in range(self.size)
                              if other != self.rank]
