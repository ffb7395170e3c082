"""Movies: MRC, TIFF and EER files as arrays (frame, row, column) in RELION's orientation.

Row order, established by running RELION 3.1.3 (`tests/io/test_movies_relion.py`): an MRC file and an EER file keep the
order of their rows; a TIFF file is flipped upside down, as TIFF counts rows from the top and MRC from the bottom. So
one exposure saved as MRC and as TIFF by IMOD or RELION gives the same array, and coordinates and gain fit both.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from cryosnake.atomic import replacing
from cryosnake.errors import CryosnakeError
from cryosnake.io.completeness import EER_NAMES, MRC_NAMES, check_movie_complete
from cryosnake.io.eer import eer_directories, render
from cryosnake.io.mrc import open_stack

__all__ = ["MovieInfo", "check_movie_complete", "movie_info", "read_frames", "write_movie_tiff"]

MoviePath = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class MovieInfo:
    """Size and kind of a movie.

    `frames` of an EER file are those of the detector, before grouping, and `height` and `width` its pixels, before
    upsampling. `kind` is "mrc", "tiff" or "eer"; `dtype` is what `read_frames` returns.
    """

    frames: int
    height: int
    width: int
    dtype: np.dtype
    kind: str


def movie_info(path: MoviePath) -> MovieInfo:
    """Return size and kind of a movie without reading its pixels.

    Raises
    ------
    CryosnakeError
        When the file is missing, cut off, corrupt or of an unknown format.
    """
    _require_complete(path)
    kind = _kind(path)
    if kind == "mrc":
        stack = open_stack(path)
        (frames, height, width), dtype = stack.shape, stack.dtype.newbyteorder("=")
    elif kind == "eer":
        entries = eer_directories(path)
        frames, height, width, dtype = len(entries), entries[0].height, entries[0].width, np.dtype(np.uint8)
    else:
        import tifffile

        with _readable(path), tifffile.TiffFile(path) as file:
            page = file.pages.first
            frames, (height, width), dtype = len(file.pages), _page_shape(path, page), np.dtype(page.dtype)
    return MovieInfo(frames=frames, height=height, width=width, dtype=dtype, kind=kind)


def read_frames(path: MoviePath, first: int | None = None, last: int | None = None, *, eer_grouping: int = 40,
                eer_upsampling: int = 1, workers: int = 1) -> np.ndarray:
    """Read the frames of a movie.

    Parameters
    ----------
    path
        The movie; its extension gives its format.
    first, last
        Numbers of the first and last frame, counted from 1, as in RELION (EER: after grouping); None is the
        first or the last of the movie.
    eer_grouping
        Detector frames of an EER movie summed to one frame; a remainder at the end is dropped, as in RELION.
    eer_upsampling
        1 renders an EER movie on detector pixels (4K), 2 on half pixels (8K), 3 on quarters.
    workers
        Threads that decompress a TIFF frame.

    Returns
    -------
    np.ndarray
        Shape (frames, height, width), in the type of the file and native byte order; EER gives counts (uint8, or
        uint16 for groups of more than 255).

    Raises
    ------
    CryosnakeError
        When the file is missing, cut off, corrupt or of an unknown format, or has no such frame.
    """
    _require_complete(path)
    kind = _kind(path)
    if kind == "mrc":
        stack = open_stack(path)
        return np.array(stack[_chosen(path, len(stack), first, last)], stack.dtype.newbyteorder("="))
    if kind == "eer":
        if eer_grouping < 1 or eer_upsampling not in (1, 2, 3):
            raise CryosnakeError(f"EER grouping is {eer_grouping} (must be at least 1), upsampling {eer_upsampling} "
                                 "(1, 2 or 3): change them in the config.")
        entries = eer_directories(path)
        groups = _chosen(path, len(entries) // eer_grouping, first, last)
        with _readable(path):
            return render(path, entries[groups.start * eer_grouping : groups.stop * eer_grouping], eer_grouping,
                          eer_upsampling)
    return _read_tiff(path, first, last, workers)


def write_movie_tiff(path: MoviePath, frames: np.ndarray, compression: str | None = "lzw") -> None:
    """Write a movie that `read_frames` and RELION read back unchanged; the file is complete or absent.

    Parameters
    ----------
    path
        The file.
    frames
        Shape (frames, height, width): 8 or 16-bit integers, or float32.
    compression
        "lzw", "deflate", "zstd" (not read by every RELION) or None.

    Raises
    ------
    CryosnakeError
        When the file cannot be written.
    """
    import tifffile

    with replacing(path) as temporary:
        tifffile.imwrite(temporary, frames[:, ::-1], compression=compression, photometric="minisblack",
                         rowsperstrip=frames.shape[1], metadata=None)


def _kind(path: MoviePath) -> str:
    name = os.fspath(path).lower()
    return "mrc" if name.endswith(MRC_NAMES) else "eer" if name.endswith(EER_NAMES) else "tiff"


def _require_complete(path: MoviePath) -> None:
    reason = check_movie_complete(path)
    if reason:
        raise CryosnakeError(f"{path} is not a complete movie: {reason}. Copy it again, or remove it from the import.")


@contextmanager
def _readable(path: MoviePath) -> Iterator[None]:
    """Turn a codec's exception into a message that names the file."""
    try:
        yield
    except (CryosnakeError, MemoryError):
        raise
    except Exception as error:  # codecs have exception types of their own
        raise CryosnakeError(f"{path} is corrupt: {error}. Copy it again, or remove it from the import.") from error


def _chosen(path: MoviePath, frames: int, first: int | None, last: int | None) -> slice:
    start, stop = 1 if first is None else first, frames if last is None else last
    if not 1 <= start <= stop <= frames:
        raise CryosnakeError(f"{path} has {frames} frames; {start} to {stop} were requested. Change the first and "
                             "last frame, or the grouping of EER.")
    return slice(start - 1, stop)


def _read_tiff(path: MoviePath, first: int | None, last: int | None, workers: int) -> np.ndarray:
    import tifffile

    with _readable(path), tifffile.TiffFile(path) as file:
        pages = file.pages[_chosen(path, len(file.pages), first, last)]
        shape = _page_shape(path, pages[0])
        if any(_page_shape(path, page) != shape for page in pages):
            raise CryosnakeError(f"{path} has frames of different sizes: it is not a movie. Remove it from the import.")
        frames = np.empty((len(pages), *shape), pages[0].dtype)
        for frame, page in zip(frames, pages, strict=True):
            frame[:] = page.asarray(maxworkers=workers)[::-1]
    return frames


def _page_shape(path: MoviePath, page: object) -> tuple[int, int]:
    shape: tuple[int, ...] = getattr(page, "shape", ())
    if len(shape) != 2:
        raise CryosnakeError(f"{path} has frames of shape {shape}, not (rows, columns): it is not a movie of a camera.")
    return shape[0], shape[1]
