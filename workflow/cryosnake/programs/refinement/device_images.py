"""Particle images on a GPU: kept there as a whole, in half precision where that is safe, or streamed block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cryosnake.numerics.backend import Array
from cryosnake.programs.refinement.execution import Execution

_MEMORY_SHARE = 0.5  # of the free memory, for the images
_HALF_ERROR = 1e-5  # of an image's variance: the most that rounding to half precision may add as noise
_READ_AT_ONCE = 4096  # images
_GPU_BLOCK = 2048  # particles
_GPU_BLOCK_BYTES = 1 << 29  # of float32 images


def images_on_device(work: Execution, rows: np.ndarray) -> Array:
    """Return images (len(rows), box, box) float32 on the execution's device; they may be changed."""
    if work.device == "cpu":
        return work.images(rows)
    import cupy

    resident = _resident(work)
    if resident is None:
        return cupy.asarray(_pinned(work.images(rows)))
    return resident[cupy.asarray(rows)].astype(cupy.float32)


def image_blocks(work: Execution, rows: np.ndarray, on_cpu: int) -> Iterator[tuple[slice, Array]]:
    """Yield slices of `rows` and their images, block by block; those that are streamed are read one block ahead.

    `on_cpu`: particles per block on a CPU; a GPU takes more.
    """
    size = on_cpu if work.device == "cpu" else _gpu_block(work)
    parts = [slice(begin, min(begin + size, len(rows))) for begin in range(0, len(rows), size)]
    if work.device == "cpu" or _resident(work) is not None:
        yield from ((part, images_on_device(work, rows[part])) for part in parts)
    else:
        yield from _streamed(work, rows, parts)


def _gpu_block(work: Execution) -> int:
    """Return the number of particles that a GPU processes at a time."""
    return max(1, min(_GPU_BLOCK, _GPU_BLOCK_BYTES // (4 * work.particles.box**2)))


def _streamed(work: Execution, rows: np.ndarray, parts: Sequence[slice]) -> Iterator[tuple[slice, Array]]:
    import cupy

    def read(part: slice) -> np.ndarray:
        return _pinned(work.images(rows[part]))

    with ThreadPoolExecutor(1) as reader:
        ahead = [reader.submit(read, part) for part in parts[:1]]
        for index, part in enumerate(parts):
            ready = ahead.pop().result()
            if index + 1 < len(parts):
                ahead.append(reader.submit(read, parts[index + 1]))
            yield part, cupy.asarray(ready)


def _resident(work: Execution) -> Array | None:
    """All images on the GPU, put there at the first call; None when they do not fit."""
    if "device" not in work.cache:
        work.cache["device"] = _upload(work)
    return work.cache["device"]


def _upload(work: Execution) -> Array | None:
    import cupy

    n, box = len(work.particles), work.particles.box
    safe = half_precision_is_safe(work.images(np.arange(min(n, 256))))
    kind = np.float16 if safe else np.float32
    if n * box * box * np.dtype(kind).itemsize > _MEMORY_SHARE * cupy.cuda.Device().mem_info[0]:
        return None
    resident = cupy.empty((n, box, box), kind)
    for begin in range(0, n, _READ_AT_ONCE):
        rows = np.arange(begin, min(begin + _READ_AT_ONCE, n))
        resident[begin : begin + len(rows)] = cupy.asarray(work.images(rows).astype(kind))
    return resident


def half_precision_is_safe(images: np.ndarray) -> bool:
    """Return whether rounding images to float16 adds less than a hundred-thousandth of their variance as noise."""
    if np.abs(images).max() > 0.5 * np.finfo(np.float16).max:
        return False
    error = images.astype(np.float16).astype(np.float32) - images
    return bool((error**2).mean() < _HALF_ERROR * images.var())


def _pinned(images: np.ndarray) -> np.ndarray:
    import cupyx

    buffer = cupyx.empty_pinned(images.shape, np.float32)
    buffer[:] = images
    return buffer
