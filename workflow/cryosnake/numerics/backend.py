"""One code for NumPy and CuPy: array namespace and FFTs follow from the array that is passed in."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import numpy as np
import scipy.fft

from cryosnake.errors import CryosnakeError

Array = Any  # numpy.ndarray or cupy.ndarray


def is_gpu(array: Array) -> bool:
    """Return whether an array is on a CUDA device."""
    return type(array).__module__.split(".")[0] == "cupy"


def namespace(array: Array) -> ModuleType:
    """Return the module (numpy, cupy, or a strict array-API module) whose functions accept this array."""
    if isinstance(array, np.ndarray):
        return np
    if is_gpu(array):
        import cupy

        return cupy
    from array_api_compat import array_namespace

    return array_namespace(array)


def fft_of(array: Array) -> ModuleType:
    """Return the module with rfft2, irfft2, rfftn … for this array.

    On the CPU it is scipy.fft: it keeps float32, and `scipy.fft.set_workers` (set once per job from
    Snakemake's `threads`) decides its number of threads.
    """
    if is_gpu(array):
        import cupyx.scipy.fft

        return cupyx.scipy.fft
    return scipy.fft


def to_numpy(array: Array) -> np.ndarray:
    """Return the array in host memory (no copy if it is there already)."""
    return array.get() if is_gpu(array) else np.asarray(array)


def to_device(array: np.ndarray, device: str) -> Array:
    """Return the array on `device`, which is "cpu" or "gpu" (see `choose_device`)."""
    if device != "gpu":
        return np.asarray(array)
    import cupy

    return cupy.asarray(array)


def product(left: Array, right: Array, reduced: bool = False) -> Array:
    """Return the matrix product of float32 matrices; `reduced` lets a GPU round the operands to TF32.

    TF32 has float32's range and a mantissa of 10 bits, sums are float32, and Hopper is eight times faster with it.
    """
    if not (reduced and is_gpu(left)):
        return left @ right
    from cupy._core import _routines_linalg as linear

    before = linear.get_compute_type(left.dtype)
    linear.set_compute_type(left.dtype, linear.COMPUTE_TYPE_TF32)
    try:
        return left @ right
    finally:
        linear.set_compute_type(left.dtype, before)


def choose_device(wish: str) -> str:
    """Turn the option auto, cpu or gpu into "cpu" or "gpu".

    In a SLURM job without an allocated GPU, auto is the CPU: the GPUs that it may see belong to other jobs.

    Raises
    ------
    CryosnakeError
        if "gpu" is requested and there is no CUDA device (or no CuPy)
    """
    problem = "" if wish == "cpu" else why_no_gpu(wish)
    if wish == "gpu" and problem:
        raise CryosnakeError(f"device: gpu was requested, but {problem}; install cryosnake[cuda12] or [cuda13] on a "
                             "machine with a GPU, or set device: auto")
    return "cpu" if wish == "cpu" or problem else "gpu"


def why_no_gpu(wish: str) -> str:
    """Return why no GPU can be used for the option auto or gpu, "" when one can."""
    if wish == "auto" and "SLURM_JOB_ID" in os.environ and not os.environ.get("CUDA_VISIBLE_DEVICES"):
        return "SLURM has allocated none to this job"
    try:
        import cupy

        return "" if cupy.cuda.runtime.getDeviceCount() > 0 else "CuPy finds no CUDA device"
    except Exception as error:  # no CuPy, no driver, no device: each has its own exception type
        return f"CuPy finds no CUDA device ({error})"
