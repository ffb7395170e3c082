"""A job of several ranks for the tests: `mpirun -n N python mpi_job.py CASE FOLDER` runs one case through run_job."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.jobs.kinds.running_options import RUNNING
from cryosnake.jobs.model import JobType, Parameter
from cryosnake.parallel import transfer
from cryosnake.parallel.images import Reading, open_images
from cryosnake.parallel.ranks import Ranks
from cryosnake.parallel.stacks import StackImages
from cryosnake.parallel.world import lead, world
from cryosnake.running.run import run_job

JOB = JobType(name="mpi_job", folder="Test", relion3=0, label="test", title="Test", description="A test.", inputs=(),
              outputs=(), parameters=(Parameter("case", str, "", "What to do."), *RUNNING), program="mpi_job")


def run(options, inputs, out, progress) -> None:
    """Run one case; what it returns on rank 0 is printed."""
    ranks = world()
    assert ranks.size > 1
    result = globals()[options.case](ranks, Path(out), progress)
    if result is not None:
        print(result)


def sums(ranks: Ranks, out: Path, progress) -> str | None:
    """Add up, gather and share, in many small messages, with and without files; some ranks give nothing."""
    transfer.CHUNK = 1 << 10
    mine = None if ranks.rank == 1 else np.full((50, 40), ranks.rank + 1.0, np.float32)
    wanted = np.full((50, 40), 1.0 + 3.0 * (ranks.size > 2))
    for folder in (None, out):
        total = ranks.add_up(None if mine is None else mine.copy(), folder)
        assert ranks.rank or np.array_equal(total, wanted)
    only_other = ranks.add_up(np.ones(5) if ranks.rank == 1 else None, out)
    assert ranks.rank or np.array_equal(only_other, np.ones(5))
    everybody = ranks.gather({"rank": ranks.rank, "rows": np.arange(1000) + ranks.rank})
    assert ranks.rank or [int(part["rows"][0]) for part in everybody] == list(range(ranks.size))
    shared = ranks.broadcast([np.arange(1000.0).reshape(10, 100)[:, ::2], "text"] if ranks.rank == 0 else None)
    assert shared[0].shape == (10, 50) and shared[0][1, 1] == 102.0 and shared[1] == "text"
    shared[0][0, 0] = 5.0  # may be written to
    assert lead(ranks, lambda: ranks.rank) == 0
    assert not list(out.glob(".combine*"))
    return "all right"


def fails(ranks: Ranks, out: Path, progress) -> None:
    """Fail with a message on rank 1 while rank 0 computes."""
    if ranks.rank == 1:
        raise CryosnakeError("particles.mrcs is gone; bring it back")
    _compute(ranks, progress)


def fails_while_others_wait(ranks: Ranks, out: Path, progress) -> None:
    """Fail unexpectedly on rank 1, after a second, when the others wait for it."""
    if ranks.rank == 1:
        time.sleep(1.0)
        print(1 / 0)
    ranks.add_up(np.ones(3))


def fails_on_the_first(ranks: Ranks, out: Path, progress) -> None:
    """Fail on rank 0, in what it does for all."""
    lead(ranks, lambda: (_ for _ in ()).throw(CryosnakeError("the disk is full; free space")))


def computes(ranks: Ranks, out: Path, progress) -> None:
    """Compute for ever on all ranks."""
    (out / f"computes{ranks.rank}").touch()
    _compute(ranks, progress)


def waits(ranks: Ranks, out: Path, progress) -> None:
    """Compute for ever on rank 1; rank 0 waits for it."""
    (out / f"computes{ranks.rank}").touch()
    if ranks.rank == 1:
        _compute(ranks, progress)
    ranks.meet()


def waits_for_images(ranks: Ranks, out: Path, progress) -> None:
    """Ask rank 0 for images, which fails meanwhile."""
    source = StackImages("particles.star", [f"{i:06d}@particles.mrcs" for i in range(1, 41)], 16, lambda *checked: None)
    with open_images(source, Reading(parallel_io=False), ranks, str(out)) as images:
        if ranks.rank == 0:
            raise CryosnakeError("rank 0 fails while others read")
        while True:
            images.images(np.arange(10))


def reads(ranks: Ranks, out: Path, progress) -> str | None:
    """Read images in every way; each rank must get the same."""
    source = StackImages("particles.star", [f"{i:06d}@particles.mrcs" for i in range(1, 41)], 16, lambda *checked: None)
    scratch = os.environ["TEST_SCRATCH"]
    for reading in (Reading(), Reading(parallel_io=False), Reading(preread=True), Reading(scratch_dir=scratch),
                    Reading(parallel_io=False, preread=True), Reading(parallel_io=False, scratch_dir=scratch)):
        with open_images(source, reading, ranks, str(out)) as images:
            mine = np.array_split(np.arange(40), ranks.size)[ranks.rank]
            images.expect_rows(mine)
            for begin in range(0, len(mine), 7):
                rows = mine[begin : begin + 7]
                found = images.images(rows)
                assert np.array_equal(found, np.broadcast_to(rows[:, None, None], found.shape)), reading
    ranks.meet()
    assert not list(Path(scratch, "relion_volatile").iterdir())
    return "all right"


def reads_what_is_gone(ranks: Ranks, out: Path, progress) -> None:
    """Ask rank 0 for images that are not there."""
    source = StackImages("particles.star", [f"{i:06d}@gone.mrcs" for i in range(1, 41)], 16, lambda *checked: None)
    with open_images(source, Reading(parallel_io=False), ranks, str(out)) as images:
        if ranks.rank > 0:
            images.images(np.arange(10))
        _compute(ranks, progress)


def _compute(ranks: Ranks, progress) -> None:
    for done in range(12_000):  # two minutes: the test's own limit is shorter
        ranks.check_stop()
        progress(done, 12_000, "")
        time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(run_job(JOB, sys.argv[1:]))
