"""One source for NumPy and CuPy: the array namespace and the FFTs follow the array that is passed in."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import scipy.fft

from cryosnake.errors import CryosnakeError

Array = Any  # numpy.ndarray or cupy.ndarray


def is_gpu(array: Array) -> bool:
    """Whether an array lives on a CUDA device."""
    return type(array).__module__.split(".")[0] == "cupy"


def namespace(array: Array) -> ModuleType:
    """Return the module (numpy, cupy, or a strict array-API module) whose functions take this array."""
    if isinstance(array, np.ndarray):
        return np
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


def choose_device(wish: str) -> str:
    """Turn the option auto, cpu or gpu into "cpu" or "gpu".

    Raises
    ------
    CryosnakeError
        if "gpu" is asked for and no CUDA device (or no CuPy) is there
    """
    if wish == "cpu":
        return "cpu"
    try:
        import cupy

        found = cupy.cuda.runtime.getDeviceCount() > 0
    except Exception:  # no CuPy, no driver, no device: each has its own exception type
        found = False
    if wish == "gpu" and not found:
        raise CryosnakeError("device: gpu was asked for, but CuPy finds no CUDA device; install "
                             "cryosnake[cuda12] or [cuda13] on a machine with a GPU, or set device: auto")
    return "gpu" if found else "cpu"
