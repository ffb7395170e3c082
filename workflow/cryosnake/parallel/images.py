"""Sources of a job's particle images, chosen by the running options; only the speed depends on the choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryosnake.parallel.prefetch import read_ahead
from cryosnake.parallel.preread import image_bytes, preread
from cryosnake.parallel.ranks import Computer, Ranks, SingleComputer
from cryosnake.parallel.scratch import scratch_copy
from cryosnake.parallel.stacks import Images, KeptImages, ReadImages

KEPT_BYTES = 1 << 30  # sets up to this size always stay in memory


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The running options for reading; in bytes: `keep_free`, and `kept`, the largest set kept in memory by itself."""

    parallel_io: bool = True
    preread: bool = False
    scratch_dir: str = ""
    keep_free: int = 0
    kept: int = KEPT_BYTES


@dataclass(frozen=True)
class ImageSource:
    """Images, and `expect_rows`, which announces the rows that will be asked for next."""

    images: Images
    expect_rows: Callable[[np.ndarray], None]


@contextmanager
def open_images(stacks: ReadImages, reading: Reading, ranks: Ranks, job: str) -> Iterator[ImageSource]:
    """Yield the source of images for this rank; all ranks enter and leave this together.

    Raises
    ------
    CryosnakeError
        when memory or scratch directory cannot be used as requested
    """
    together = ranks.size > 1 and not reading.parallel_io
    with ExitStack() as stack:
        images: Images | None = None
        resident = False
        if not together or ranks.rank == 0:
            images, resident = _local(stacks, reading, SingleComputer() if together else ranks.computer, job, stack)
        if together:
            ranks.meet()
            images = stack.enter_context(ranks.images(images))
            resident = ranks.rank == 0 and resident
        assert images is not None
        if resident:
            yield ImageSource(images, lambda rows: None)
        else:
            ahead = stack.enter_context(read_ahead(images))
            yield ImageSource(ahead, ahead.expect_rows)
        ranks.meet()  # no rank reads any more


def _local(stacks: ReadImages, reading: Reading, computer: Computer, job: str, stack: ExitStack,
           ) -> tuple[Images, bool]:
    """Return the images that this process reads itself, and whether they are in memory."""
    if reading.preread:
        return preread(stacks, stacks.shape, computer), True
    if reading.scratch_dir:
        copy = scratch_copy(stacks, stacks.shape, Path(reading.scratch_dir), reading.keep_free, computer, job)
        return stack.enter_context(copy), False
    if image_bytes(stacks.shape) <= min(KEPT_BYTES, reading.kept):
        return KeptImages(stacks, stacks.shape), True
    return stacks, False
