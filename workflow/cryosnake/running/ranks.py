"""A job on several MPI ranks: rank 0 runs it as a job, the others compute silently; all stop when one does."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.forms import WholeJob
from cryosnake.jobs.model import JobType, root_name
from cryosnake.parallel.gpus import gpus_of_rank, visible_gpus
from cryosnake.parallel.ranks import Ranks, StopHeard, Stopped
from cryosnake.parallel.threads import thread_limit
from cryosnake.parallel.world import world
from cryosnake.running.arguments import Arguments


def check_ranks(job_type: JobType, arguments: Arguments, ranks: Ranks) -> None:
    """Refuse ranks for a job type that does not use MPI, and fewer ranks than the options ask for.

    Raises
    ------
    CryosnakeError
        naming the command to start with
    """
    wanted = getattr(arguments.options, "mpi_ranks", None)
    if wanted is None and ranks.size > 1:
        raise CryosnakeError(f"{job_type.name} does not use MPI; start it without mpirun.")
    if wanted is not None and wanted > 1 and ranks.size == 1:
        raise CryosnakeError(f"mpi_ranks is {wanted}, but only one process was started. Start it with python -m "
                             f"cryosnake.running.launch {wanted} PROGRAM …, or with mpirun -n {wanted} python PROGRAM "
                             "…; `snakemake` does so by itself.")


@contextlib.contextmanager
def together(ranks: Ranks) -> Iterator[None]:
    """Stop the other ranks when the body fails; otherwise wait for them after it."""
    try:
        yield
    except BaseException as error:
        ranks.fail(error)
        raise
    ranks.meet()


@contextlib.contextmanager
def sharing_errors(ranks: Ranks) -> Iterator[None]:
    """Stop the other ranks when the body fails, and raise here what failed on another.

    Raises
    ------
    CryosnakeError, Aborted
        what another rank raised; what this one raised is passed on unchanged
    """
    try:
        yield
    except BaseException as error:
        problem = ranks.fail(error)
        if problem.rank == ranks.rank and not isinstance(error, (Stopped, StopHeard)):
            raise
        if problem.trace:
            print(problem.trace, file=sys.stderr)
        raise problem.exception() from None


def run_as_follower(job_type: JobType, arguments: Arguments, ranks: Ranks) -> int:
    """Run a job's program on a rank other than 0: no lock, no files, no output. Only rank 0's exit code counts."""
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
        with contextlib.suppress(BaseException), together(ranks):
            program = cast(WholeJob, import_module(job_type.program))
            with thread_limit(arguments.threads):
                found = ranks.broadcast(None)
                if found is not None:  # else there is nothing to do
                    values, inputs = found
                    options = job_type.options(**values)
                    choose_gpus(options, ranks)
                    progress = _Silent(ranks, root_name(vars(arguments.options)))
                    program.run(options, inputs, Path(arguments.out), progress)
                ranks.meet()
    return 0  # rank 0 reports what happened


@dataclass(frozen=True)
class _Silent:
    """The progress function of a rank other than 0."""

    ranks: Ranks
    root_name: str

    def __call__(self, done: int, total: int, message: str = "") -> None:
        self.ranks.check_stop()

    def iteration_written(self, number: int) -> None:
        """Do nothing: rank 0 reports it."""


def choose_gpus(options: Any, ranks: Ranks) -> None:
    """Let this process see only its own GPUs, numbered 0, 1, …; to be called before CUDA is first used.

    Raises
    ------
    CryosnakeError
        when `gpu_ids` names a GPU that does not exist
    """
    text = getattr(options, "gpu_ids", None)
    if getattr(options, "device", "cpu") == "cpu" or (not text and ranks.size == 1):
        return
    chosen = gpus_of_rank(text, ranks.computer.rank, ranks.computer.size, visible_gpus())
    if chosen:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(chosen)


def these_ranks() -> Ranks:
    """Return the ranks that this process belongs to.

    With several, SIGTERM (with which mpirun and SLURM stop a job) is treated as a request to abort: files are left in
    order.
    """
    ranks = world()
    if ranks.size > 1:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    return ranks
