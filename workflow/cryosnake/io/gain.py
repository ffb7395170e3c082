"""Gain references in the orientation of the frames that `cryosnake.io.movies` reads.

Orientation and meaning, established by running RELION 3.1.3 (`tests/io/test_movies_relion.py`): a gain in TIFF is
flipped upside down like a movie in TIFF; then it is rotated clockwise as the rows of an MRC file are drawn from top to
bottom, that is `numpy.rot90(gain, -rotate)`; then flipped.
"""

from __future__ import annotations

import os

import numpy as np

from cryosnake.atomic import replacing
from cryosnake.errors import CryosnakeError
from cryosnake.io.completeness import EER_NAMES, MRC_NAMES, TIFF_NAMES
from cryosnake.io.mrc import check_finite, read_mrc, write_mrc

_EER_GAIN_NAMES = (".gain",)
FLIPS = {0: "none", 1: "upside down", 2: "left to right"}


def read_gain(path: str | os.PathLike[str], shape: tuple[int, int], rotate: int = 0, flip: int = 0, *,
              movie: str | os.PathLike[str] = "") -> np.ndarray:
    """Read the gain by which frames are multiplied.

    Parameters
    ----------
    path
        MRC or TIFF; a file named `.gain` is the TIFF of a Falcon camera, which keeps the order of its rows.
    shape
        (height, width) of the frames in pixels; for EER after upsampling.
    rotate
        RELION's gain_rot: 0 to 3 times 90 degrees.
    flip
        RELION's gain_flip, after the rotation: 0 none, 1 upside down, 2 left to right.
    movie
        Name of a movie to be corrected. Frames of an EER movie are divided by a gain that is not named `.gain`, so the
        reciprocal is returned, with a mean that keeps the counts, and scaled to `shape` where it differs by 2 or 4.

    Returns
    -------
    np.ndarray
        float32, shape (height, width); 0 marks a pixel as defective.

    Raises
    ------
    CryosnakeError
        When the file cannot be read, has another shape or holds NaN.
    """
    if rotate not in (0, 1, 2, 3) or flip not in FLIPS:
        raise CryosnakeError(f"gain rotation is {rotate} (must be 0, 1, 2 or 3), gain flip {flip} (0, 1 or 2).")
    gain = read_camera_image(path)
    check_finite(gain, path)
    if not gain.any():
        raise CryosnakeError(f"{path}: the gain is zero everywhere. Give the gain reference of this session.")
    if os.fspath(movie).lower().endswith(EER_NAMES):
        if not os.fspath(path).lower().endswith(_EER_GAIN_NAMES):
            gain = _reciprocal(gain)
        gain = _scaled(gain, shape, rotate)
    gain = _turned(gain, rotate, flip)
    _require_shape(path, gain, shape, rotate)
    return np.ascontiguousarray(gain, np.float32)


def turned_name(path: str | os.PathLike[str]) -> str:
    """Return the name of a file for a turned gain, which keeps its kind and which no micrograph can have.

    Dots in the names of movies become underscores in those of micrographs.

    >>> turned_name("Movies/gain.tif")
    'gain.turned.mrc'
    """
    return "gain.turned" + (".gain" if os.fspath(path).lower().endswith(_EER_GAIN_NAMES) else ".mrc")


def write_turned_gain(path: str | os.PathLike[str], source: str | os.PathLike[str], rotate: int, flip: int) -> None:
    """Write a gain as it lies on the frames, for programs that do not turn it; an equal file is left as it is.

    Parameters
    ----------
    path
        Named by `turned_name`.
    source, rotate, flip
        As of `read_gain`.

    Raises
    ------
    CryosnakeError
        When the source cannot be read.
    """
    turned = np.ascontiguousarray(_turned(read_camera_image(source), rotate, flip), np.float32)
    if os.path.exists(path) and np.array_equal(read_camera_image(path), turned):
        return
    if os.fspath(path).endswith(_EER_GAIN_NAMES):
        import tifffile

        with replacing(path) as temporary:
            tifffile.imwrite(temporary, turned, photometric="minisblack")
    else:
        write_mrc(path, turned, 1.0)


def _turned(gain: np.ndarray, rotate: int, flip: int) -> np.ndarray:
    gain = np.rot90(gain, -rotate)
    return gain[::-1] if flip == 1 else gain[:, ::-1] if flip == 2 else gain


def read_camera_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a gain or a mask of the camera's pixels, in the orientation of the frames.

    Returns
    -------
    np.ndarray
        float32, shape (height, width).

    Raises
    ------
    CryosnakeError
        When the file is missing, corrupt, of another format, or holds more than one image.
    """
    name = os.fspath(path).lower()
    if name.endswith(MRC_NAMES):
        image = np.squeeze(read_mrc(path)[0])
    elif name.endswith(TIFF_NAMES + _EER_GAIN_NAMES):
        image = _read_tiff(path)
        image = image if name.endswith(_EER_GAIN_NAMES) else image[::-1]
    else:
        raise CryosnakeError(f"{path}: gain references and defect maps are read from MRC, TIFF and .gain files. "
                             "Convert it, for example a DM4 file with IMOD's dm2mrc.")
    if image.ndim != 2:
        raise CryosnakeError(f"{path} contains an array of shape {image.shape} where one image is expected.")
    return image


def _read_tiff(path: str | os.PathLike[str]) -> np.ndarray:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            return file.pages.first.asarray(maxworkers=1).astype(np.float32)
    except OSError as error:
        raise CryosnakeError(f"{path} cannot be read: {error.strerror}. Correct the path in the config.") from None
    except Exception as error:  # codecs have exception types of their own
        raise CryosnakeError(f"{path} is corrupt or not a TIFF file: {error}. Copy it again.") from error


def _reciprocal(gain: np.ndarray) -> np.ndarray:
    good = gain != 0
    reciprocal = np.zeros_like(gain)
    reciprocal[good] = gain[good].mean(dtype=np.float64) / gain[good]
    return reciprocal


def _scaled(gain: np.ndarray, shape: tuple[int, int], rotate: int) -> np.ndarray:
    """Repeat or average pixels where the frames are finer or coarser; a block with a defective pixel is defective."""
    wanted = shape if rotate % 2 == 0 else shape[::-1]
    for factor in (2, 4):
        if wanted == (gain.shape[0] * factor, gain.shape[1] * factor):
            return gain.repeat(factor, 0).repeat(factor, 1)
        if gain.shape == (wanted[0] * factor, wanted[1] * factor):
            blocks = gain.reshape(wanted[0], factor, wanted[1], factor)
            return np.where((blocks == 0).any((1, 3)), 0, blocks.mean((1, 3)))
    return gain


def _require_shape(path: str | os.PathLike[str], gain: np.ndarray, shape: tuple[int, int], rotate: int) -> None:
    if gain.shape == tuple(shape):
        return
    hint = "Give the gain reference of this camera mode (counting and super-resolution differ by 2)."
    if gain.shape == tuple(shape[::-1]):
        hint = f"Rotate it by 90 degrees: set gain_rotation to {(rotate + 1) % 4} or {(rotate + 3) % 4}."
    raise CryosnakeError(f"{path}: the gain has {gain.shape[1]} x {gain.shape[0]} pixels (width x height, after "
                         f"rotation {rotate}), the movie {shape[1]} x {shape[0]}. {hint}")
