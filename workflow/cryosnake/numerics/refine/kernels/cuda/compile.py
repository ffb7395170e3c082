"""Sources to CUDA kernels: compiled when they are first used, and kept by CuPy on disk."""

from __future__ import annotations

import functools
from typing import Any

WARP = 32
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


def blocks(count: int, per_block: int) -> int:
    """Return how many blocks of threads cover `count` items, at least 1."""
    return max(1, -(-count // per_block))
