"""The ranks that this process belongs to, and work that rank 0 does for all of them."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

from cryosnake.errors import CryosnakeError
from cryosnake.parallel.ranks import Ranks, SingleRank


def lead(ranks: Ranks, work: Callable[[], Any]) -> Any:
    """Let rank 0 do something, with the threads of all ranks of its computer, and return the result on every rank."""
    from cryosnake.parallel.threads import borrowed_threads

    result = None
    if ranks.rank == 0:
        with borrowed_threads(ranks.computer.size):
            result = work()
    return ranks.broadcast(result)


def started_ranks(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many ranks mpirun or srun started according to the environment; 1 without them.

    SLURM_NTASKS alone does not count: it is set in every batch script.
    """
    names = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"]
    if "PMIX_RANK" in environment:
        names += ["SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"]
    sizes = [environment[name] for name in names if environment.get(name, "").isdecimal()]
    return int(sizes[0]) if sizes else 1


@functools.cache
def world() -> Ranks:
    """Return the ranks that this process belongs to; mpi4py is imported only when there are several.

    Raises
    ------
    CryosnakeError
        when several were started and mpi4py is missing, or belongs to another MPI than the launcher
    """
    count = started_ranks()
    if count <= 1:
        return SingleRank()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise CryosnakeError(f"{count} MPI ranks were started, but mpi4py can't be used ({error}). Install it: "
                             "pip install 'cryosnake[mpi]', or set mpi_ranks: 1.") from error
    if count != MPI.COMM_WORLD.size:
        raise CryosnakeError(f"the launcher started {count} ranks, mpi4py sees {MPI.COMM_WORLD.size}: they belong to "
                             f"different MPI libraries (mpi4py uses {MPI.Get_library_version().splitlines()[0]}). Put "
                             "that library's mpirun first on the PATH, or set mpi_ranks: 1.")
    from cryosnake.parallel.mpi import MpiRanks

    return MpiRanks(MPI)
