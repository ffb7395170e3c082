"""MRC files, written as RELION and the standard have them. The public names are in `cryosnake.io.mrc`."""

from __future__ import annotations

import os
import struct
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np

from cryosnake.atomic import replacing
from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc_header import HEADER_BYTES

MrcPath = str | os.PathLike[str]

DTYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_MODES = {np.dtype(code): mode for mode, code in DTYPES.items()}
_KEPT = {np.dtype(code) for code in ("i1", "i2", "u2")}  # the rest becomes float32
_BYTE_ORDER_STAMP = b"DD\0\0"  # little-endian


def check_finite(array: np.ndarray, path: MrcPath) -> None:
    """Refuse NaN and infinities.

    Raises
    ------
    CryosnakeError
        Naming the file and how many there are.
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
        The file; RELION takes `.mrcs` for a stack and `.mrc` for an image or a map.
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
    with StackWriter(path, pixel_size, float16=float16, volume=array.ndim == 3 and not stack) as writer:
        writer.append(array)


class StackWriter:
    """Write a stack piece by piece, with a header that is right at the end.

    Use it in a `with` statement: the file appears, whole, when the block ends without an error.

    Parameters
    ----------
    path, pixel_size, float16
        As `write_mrc`.
    volume
        The sections are slices of a map.
    """

    def __init__(self, path: MrcPath, pixel_size: float, *, float16: bool = False, volume: bool = False) -> None:
        self.path = path
        self.pixel_size = pixel_size
        self.count = 0
        self._volume = volume
        self._dtype: np.dtype[Any] | None = np.dtype("f2") if float16 else None
        self._shape: tuple[int, int] | None = None
        self._low, self._high, self._sum, self._squares = np.inf, -np.inf, 0.0, 0.0
        self._replacing = replacing(path)
        self._file: BinaryIO

    def __enter__(self) -> Self:
        self._file = open(self._replacing.__enter__(), "wb")
        self._file.write(bytes(HEADER_BYTES))
        return self

    def append(self, images: np.ndarray) -> None:
        """Add one image (rows, columns) or several (n, rows, columns) of one type and size.

        Raises
        ------
        CryosnakeError
            When they are not finite, out of range, or of another size than the first ones.
        """
        images = images.reshape(-1, *images.shape[-2:])
        if self._dtype is None:
            native = images.dtype.newbyteorder("=")
            self._dtype = native if native in _KEPT else np.dtype("f4")
        if self._shape is None:
            self._shape = (images.shape[1], images.shape[2])
        if images.shape[1:] != self._shape:
            raise CryosnakeError(f"{self.path}: an image of {images.shape[2]} x {images.shape[1]} pixels does not "
                                 f"fit into a stack of {self._shape[1]} x {self._shape[0]}.")
        with np.errstate(over="ignore"):
            pixels = np.ascontiguousarray(images, self._dtype.newbyteorder("<"))
        check_finite(pixels, self.path)
        self._file.write(pixels.data)
        self._add_statistics(pixels)

    def _add_statistics(self, pixels: np.ndarray) -> None:
        if pixels.size:
            self.count += len(pixels)
            self._low = min(self._low, float(pixels.min()))
            self._high = max(self._high, float(pixels.max()))
            # Section by section: no float64 copy of a large stack.
            for section in pixels:
                values = section.astype(np.float64)
                self._sum += float(values.sum())
                self._squares += float(np.vdot(values, values))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._file.seek(0)
                self._file.write(self._header())
        except BaseException as own:
            self._file.close()
            self._replacing.__exit__(type(own), own, own.__traceback__)
            raise
        self._file.close()
        self._replacing.__exit__(kind, error, trace)

    def _header(self) -> bytes:
        if not self.count or self._shape is None or self._dtype is None:
            raise CryosnakeError(f"{self.path} would hold no image: nothing was left over to write.")
        rows, columns = self._shape
        size = self.count * rows * columns
        mean = self._sum / size
        deviation = max(self._squares / size - mean * mean, 0.0) ** 0.5
        return _packed_header((columns, rows, self.count), _MODES[self._dtype], self.pixel_size, self._volume,
                              (self._low, self._high, mean, deviation))


def _packed_header(shape: tuple[int, int, int], mode: int, pixel_size: float, volume: bool,
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
