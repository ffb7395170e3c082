"""Choice of compiled kernels: numba's for NumPy arrays, CUDA's for CuPy arrays; and sizes that suit each."""

from __future__ import annotations

import math
from typing import Any

import numba as nb
import numpy as np

from cryosnake.numerics.backend import Array, is_gpu
from cryosnake.numerics.refine.kernels import host
from cryosnake.numerics.refine.kernels.budget import budget

_GPU_SLICE_BYTES = 1 << 31
_GPU_SCORE_BYTES = 4 << 30
# Fine scores, their twins and weights take this many bytes for each sample. On a CPU few at once stay in the cache and
# in the budget; a GPU took two to three times as long with so few, because of launches.
_BYTES_OF_SAMPLE, _SAMPLES_ON_CPU, _SAMPLES_ON_GPU = 256, 1 << 18, 1 << 22
BYTES_OF_SCORE = 64  # with the sample that a score may be
# Samples of a level and their eight children on the next take this many bytes for each sample. With few at once their
# particles share fewer slices.
BYTES_OF_SEARCHED, SEARCHED_AT_LEAST = 400, 1 << 15
# HEALPix order at which a search starts. Not below 2: with steps of 30 degrees too little resolution would be left. A
# GPU takes order 3 whole: one matrix product, about 25 µs per particle in TF32 on an H200.
_COARSEST_ON_CPU, _COARSEST_ON_GPU = 2, 3


def kernels_of(array: Array) -> Any:
    """Return the module of the expectation step's kernels (see `scores.py`, `selection.py`) for arrays like this."""
    if is_gpu(array):
        from cryosnake.numerics.refine.kernels.cuda import kernels

        return kernels
    return host


def twin_of(values: Array) -> Array:
    """Return what `selection.normalise` writes sampled weights to: on a GPU, which takes all, the weights' array."""
    return values if is_gpu(values) else np.empty_like(values)


def coarsest_order(like: Array) -> int:
    """Return the HEALPix order of the grid that a search over several levels starts on."""
    return _COARSEST_ON_GPU if is_gpu(like) else _COARSEST_ON_CPU


def parts_of_sums(like: Array) -> int:
    """Return how many partial sums the kernels write: one per thread on the CPU, one on a GPU."""
    return 1 if is_gpu(like) else nb.get_num_threads()


def slice_bytes(like: Array) -> int:
    """Return the memory that the slices of one chunk of orientations may take."""
    return _GPU_SLICE_BYTES if is_gpu(like) else budget().slices


def particles_at_once(like: Array, shifts: int, orientations: int, on_cpu: int) -> int:
    """Return the number of particles in one product of the coarse search.

    On a CPU the scores should stay in the cache; a GPU needs many to be busy, and has the memory: a sixth of what is
    free, at most 4 GiB.
    """
    if not is_gpu(like):
        return max(1, min(on_cpu, budget().block // (BYTES_OF_SCORE * shifts * orientations)))
    return max(1, min(_GPU_SCORE_BYTES, _free_on_gpu() // 6) // (4 * shifts * orientations))


def samples_at_once(like: Array) -> int:
    """Return how many significant samples the fine pass takes; of a single particle it takes all."""
    if not is_gpu(like):
        return min(_SAMPLES_ON_CPU, budget().block // _BYTES_OF_SAMPLE)
    return min(_SAMPLES_ON_GPU, _free_on_gpu() // (6 * _BYTES_OF_SAMPLE))


def samples_in_search(like: Array) -> float:
    """Return how many significant samples of a coarse level are searched on the finer ones together."""
    return math.inf if is_gpu(like) else max(SEARCHED_AT_LEAST, budget().block // BYTES_OF_SEARCHED)


def _free_on_gpu() -> int:
    import cupy

    return int(cupy.cuda.Device().mem_info[0] + cupy.get_default_memory_pool().free_bytes())
