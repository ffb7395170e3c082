"""Sources to CUDA kernels: compiled when they are first used, and kept by CuPy on disk."""

from __future__ import annotations

import functools
from typing import Any

from cryosnake.numerics.backend import Array

WARP = 32
THREADS = 128  # of the blocks of `launch_per_pixel`
OPTIONS = ("-std=c++17",)


@functools.cache
def kernel(source: str, name: str, **constants: int) -> Any:
    """Return the kernel `name` of a C source, with preprocessor constants; it is called with grid, block, arguments.

    Python integers arrive as `long long`, floats as `double`.
    """
    import cupy

    return cupy.RawKernel(source, name, (*OPTIONS, *definitions(constants)))


def definitions(constants: dict[str, int]) -> list[str]:
    """Return the compiler's options for preprocessor constants."""
    return [f"-D{name}={value}" for name, value in constants.items()]


def launch_per_pixel(source: str, name: str, slices: Array, *arguments: Any) -> None:
    """Launch a kernel of one thread per pixel of slices (rows, pixels); there may be none."""
    rows, pixels = slices.shape
    if rows and pixels:
        kernel(source, name)((rows, blocks(pixels, THREADS)), (THREADS,), arguments)


def blocks(count: int, per_block: int) -> int:
    """Return how many blocks of threads cover `count` items, at least 1."""
    return max(1, -(-count // per_block))
