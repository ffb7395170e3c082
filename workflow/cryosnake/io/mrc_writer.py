"""MRC files, written as RELION and the standard do. The public names are in `cryosnake.io.mrc`.

Not with mrcfile, which dates its files, so that no two are equal, computes statistics in float32, and writes under
the final name.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from cryosnake.atomic import replacing
from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc_header import HEADER_BYTES

MrcPath = str | os.PathLike[str]

DTYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_MODES = {np.dtype(code): mode for mode, code in DTYPES.items()}
_KEPT = {np.dtype(code) for code in ("i1", "i2", "u2")}  # the rest becomes float32
_ROUNDING, _OVERSHOOT = 1e-3, 0.02  # of masks, as filters and resampling of other programs leave them
_BYTE_ORDER_STAMP = b"DD\0\0"  # little-endian


def within_one(mask: np.ndarray, path: str | os.PathLike[str]) -> np.ndarray:
    """Return a mask with values from 0 to 1; what overshoots by up to 0.02 is cut, with a line that says so.

    Raises
    ------
    CryosnakeError
        When it overshoots by more.
    """
    low, high = float(mask.min()), float(mask.max())
    beyond = max(-low, high - 1.0)
    if not beyond <= _OVERSHOOT:
        raise CryosnakeError(f"{path} is not a mask: its values range from {low:.3g} to {high:.3g} instead of 0 to 1; "
                             "give the mask.mrc of a MaskCreate job")
    if beyond > _ROUNDING:
        print(f"{path}: the mask's values range from {low:.3g} to {high:.3g}; they are cut to 0 to 1")
    return np.clip(mask, 0.0, 1.0)


def check_finite(array: np.ndarray, path: MrcPath) -> None:
    """Refuse NaN and infinities.

    Raises
    ------
    CryosnakeError
        With the file and the number of such values.
    """
    if np.issubdtype(array.dtype, np.integer) or np.isfinite(array).all():
        return
    bad = int(array.size - np.count_nonzero(np.isfinite(array)))
    raise CryosnakeError(f"{path}: {bad} of {array.size} values are NaN or infinite. Make the file again; an empty "
                         "mask or a division by zero upstream is the usual cause.")


def write_mrc(path: MrcPath, array: np.ndarray, pixel_size: float, *, stack: bool = False,
              float16: bool = False) -> None:
    """Write an image, a map or a stack; the file is complete or absent.

    int8, int16 and uint16 keep their type; everything else becomes float32, which every RELION reads.

    Parameters
    ----------
    path
        The file; RELION treats `.mrcs` as a stack and `.mrc` as an image or a map.
    array
        Shape (rows, columns), or (sections, rows, columns).
    pixel_size
        Å.
    stack
        The sections are images, not slices of a map.
    float16
        Write mode 12, half the size; RELION 3.1 does not read it.

    Raises
    ------
    CryosnakeError
        When the array is empty, not finite or beyond the range of float16, or the file cannot be written.
    """
    images = array.reshape(-1, *array.shape[-2:])
    if not images.size:
        raise CryosnakeError(f"{path} would have no images: nothing was left to write.")
    native = images.dtype.newbyteorder("=")
    dtype = np.dtype("f2") if float16 else native if native in _KEPT else np.dtype("f4")
    with np.errstate(over="ignore"):
        pixels = np.ascontiguousarray(images, dtype.newbyteorder("<"))
    check_finite(pixels, path)
    header = _packed_header(pixels.shape[::-1], _MODES[dtype], pixel_size, array.ndim == 3 and not stack,
                            _statistics(pixels))
    with replacing(path, durable=True) as temporary, open(temporary, "wb") as file:
        file.write(header)
        file.write(pixels.data)


@contextmanager
def writing_stack(path: MrcPath, shape: tuple[int, int, int], pixel_size: float,
                  ) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that appends images (m, rows, columns) as float32 to a stack; it is complete, or absent.

    Parameters
    ----------
    path
        The file.
    shape
        Number of images, rows and columns of the whole stack.
    pixel_size
        Å.

    Raises
    ------
    CryosnakeError
        When images are not finite, or the file cannot be written.
    """
    parts: list[tuple[int, tuple[float, ...]]] = []
    with replacing(path, durable=True) as temporary, open(temporary, "wb") as file:
        file.write(bytes(HEADER_BYTES))

        def append(images: np.ndarray) -> None:
            pixels = np.ascontiguousarray(images, "<f4")
            check_finite(pixels, path)
            file.write(pixels.data)
            parts.append((len(pixels), _statistics(pixels)))

        yield append
        counts = np.array([count for count, _ in parts], float)
        assert counts.sum() == shape[0], (path, counts.sum(), shape)
        low, high, mean, deviation = np.array([found for _, found in parts]).T
        share = counts / shape[0]
        average = float(share @ mean)
        variance = float(share @ (deviation**2 + mean**2)) - average**2
        file.seek(0)
        file.write(_packed_header(shape[::-1], 2, pixel_size, False,
                                  (float(low.min()), float(high.max()), average, max(variance, 0.0) ** 0.5)))


def _statistics(pixels: np.ndarray) -> tuple[float, float, float, float]:
    """Return minimum, maximum, mean and standard deviation."""
    total = squares = 0.0
    for section in pixels:  # one at a time: no float64 copy of a large stack
        values = section.astype(np.float64)
        total += float(values.sum())
        squares += float(np.vdot(values, values))
    mean = total / pixels.size
    return float(pixels.min()), float(pixels.max()), mean, max(squares / pixels.size - mean * mean, 0.0) ** 0.5


def _packed_header(shape: tuple[int, ...], mode: int, pixel_size: float, volume: bool,
                   statistics: tuple[float, float, float, float]) -> bytes:
    """Return the 1024 bytes of an MRC2014 header; `shape` is (columns, rows, sections)."""
    sections_per_volume = shape[2] if volume else 1
    sampling = (*shape[:2], sections_per_volume)
    header = bytearray(HEADER_BYTES)
    struct.pack_into("<10i", header, 0, *shape, mode, 0, 0, 0, *sampling)
    struct.pack_into("<6f", header, 40, *(n * pixel_size for n in sampling), 90.0, 90.0, 90.0)
    struct.pack_into("<3i", header, 64, 1, 2, 3)
    struct.pack_into("<3f", header, 76, *statistics[:3])
    struct.pack_into("<2i", header, 88, int(volume), 0)
    struct.pack_into("<i", header, 108, 20141 if mode == 12 else 20140)
    header[208:216] = b"MAP " + _BYTE_ORDER_STAMP
    struct.pack_into("<fi", header, 216, statistics[3], 1)
    header[224:304] = b"cryosnake".ljust(80)
    return bytes(header)
