"""Movies, and micrographs: MRC, TIFF and EER files as arrays (frame, row, column) in RELION's orientation.

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
from cryosnake.io.completeness import EER_NAMES, MRC_NAMES, TIFF_NAMES, check_movie_complete
from cryosnake.io.eer import eer_directories, render
from cryosnake.io.mrc import read_mrc
from cryosnake.io.mrc_header import read_header
from cryosnake.io.mrc_sections import count_sections, map_sections
from cryosnake.io.recorded_pixel_size import recorded_pixel_size
from cryosnake.io.tiff_directories import frames_behind

__all__ = ["MovieInfo", "check_movie_complete", "header_pixel_size", "movie_info", "read_frames", "read_image",
            "write_movie_tiff"]

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
        one = map_sections(path, 0, 1)
        (height, width), dtype = one.shape[1:], one.dtype.newbyteorder("=")
        frames = count_sections(read_header(path))
    elif kind == "eer":
        entries = eer_directories(path)
        frames, height, width, dtype = len(entries), entries[0].height, entries[0].width, np.dtype(np.uint8)
    else:
        import tifffile

        with _readable(path), tifffile.TiffFile(path) as file:
            page = file.pages.first
            frames = frames_behind(path) or len(file.pages)
            (height, width), dtype = _page_shape(path, page), np.dtype(page.dtype)
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
        chosen = _chosen(path, count_sections(read_header(path)), first, last)
        stack = map_sections(path, chosen.start, chosen.stop)
        return np.array(stack, stack.dtype.newbyteorder("="))
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


def read_image(path: MoviePath) -> tuple[np.ndarray, float]:
    """Read a micrograph.

    Returns
    -------
    image
        float32, shape (rows, columns); the rows of a TIFF file from the bottom up, as RELION has them.
    pixel_size
        Å, 0.0 when the file does not give it.

    Raises
    ------
    CryosnakeError
        When the file is missing, cut off, of another format, or a stack.
    """
    if not _is_tiff(path):
        image, pixel_size = read_mrc(path)
    elif not os.path.exists(path):
        raise CryosnakeError(f"{path} cannot be read: there is no such file. Has the job that makes it been run?")
    else:
        frames = movie_info(path).frames
        if frames != 1:
            raise CryosnakeError(f"{path} is a stack of {frames} images, not one image; import it as a movie")
        image, pixel_size = read_frames(path)[0].astype(np.float32), header_pixel_size(path)
    if image.ndim != 2:
        raise CryosnakeError(f"{path} is a stack of shape {image.shape}, not one image")
    return image, pixel_size


def header_pixel_size(path: MoviePath) -> float:
    """Return the pixel size in Å that a micrograph's header states, 0.0 where it states none."""
    return (recorded_pixel_size(path) or 0.0) if _is_tiff(path) else read_header(path).pixel_size


def _is_tiff(path: MoviePath) -> bool:
    return os.fspath(path).lower().endswith(TIFF_NAMES)


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
        behind = frames_behind(path)
        if behind:  # all of one directory, one after the other
            page = file.pages.first
            stored = np.memmap(path, np.dtype(page.dtype).newbyteorder(file.byteorder), "r", page.dataoffsets[0],
                               (behind, *_page_shape(path, page)))
            return np.array(stored[_chosen(path, behind, first, last), ::-1], page.dtype)
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
