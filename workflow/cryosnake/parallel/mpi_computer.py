"""The MPI ranks of one computer, and memory that they share."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.parallel import transfer

_SHARED = "/dev/shm"  # where MPI libraries keep shared memory


class MpiComputer:
    """See `ranks.Computer`. Every method is called by all ranks of the job, not only by those of this computer."""

    def __init__(self, mpi: Any, comm: Any, meet: Callable[[], None]) -> None:
        self._mpi, self._meet = mpi, meet
        self._comm = comm.Split_type(mpi.COMM_TYPE_SHARED)
        self.rank, self.size = self._comm.rank, self._comm.size
        self._windows: list[Any] = []

    def broadcast(self, value: Any) -> Any:
        """See `ranks.Computer`."""
        self._meet()
        return transfer.broadcast(self._comm, value)

    def meet(self) -> None:
        """See `ranks.Computer`."""
        self._meet()

    def memory(self, shape: tuple[int, ...]) -> np.ndarray:
        """See `ranks.Computer`.

        Raises
        ------
        CryosnakeError
            when the computer's shared memory is too small
        """
        wanted = 4 * int(np.prod(shape))
        if self.rank == 0 and os.path.isdir(_SHARED):
            room = os.statvfs(_SHARED)
            if room.f_bavail * room.f_frsize < wanted:
                raise CryosnakeError(f"preread: {wanted / 1e9:.1f} GB are to be shared between {self.size} ranks, but "
                                     f"{_SHARED} has {room.f_bavail * room.f_frsize / 1e9:.1f} GB left. Make it larger "
                                     "(docker: --shm-size), use one rank with more threads, or a scratch directory.")
        self._meet()
        window = self._mpi.Win.Allocate_shared(wanted if self.rank == 0 else 0, 4, comm=self._comm)
        self._windows.append(window)
        buffer, _ = window.Shared_query(0)
        return np.frombuffer(buffer, np.float32).reshape(shape)
