"""Lists and maps of defective pixels, in the orientation of the frames that `cryosnake.io.movies` reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.completeness import MRC_NAMES, TIFF_NAMES
from cryosnake.io.gain import read_camera_image

_SERIALEM = ("camerasizex", "camerasizey")


def read_defects(path: str | os.PathLike[str], shape: tuple[int, int]) -> np.ndarray:
    """Read the camera's bad pixels.

    Parameters
    ----------
    path
        - MRC or TIFF: a map in which everything but 0 is bad;
        - text of four numbers per line, `x y width height` from 0 in RELION's orientation (UCSF MotionCor2, RELION);
        - SerialEM text, recognised by its entry CameraSizeX, with rows counted from the top, as in the TIFF file.
    shape
        (height, width) of the frames in pixels. A SerialEM list for pixels twice as large or as small is scaled.

    Returns
    -------
    np.ndarray
        bool, shape (height, width), True where bad.

    Raises
    ------
    CryosnakeError
        When the file cannot be read or understood, or does not fit the frames.
    """
    if os.fspath(path).lower().endswith(MRC_NAMES + TIFF_NAMES):
        mask = read_camera_image(path) != 0
        if mask.shape != tuple(shape):
            raise CryosnakeError(f"{path}: the defect map has {_size(mask.shape)} pixels (width x height), the movie "
                                 f"{_size(shape)}. Give the map of this camera mode.")
        return mask
    lines = list(_lines(path))
    if any(words[0].lower() in _SERIALEM for _, words in lines):
        return _serialem(path, lines, shape)
    mask = np.zeros(shape, bool)
    for number, words in lines:
        x, y, width, height = _numbers(path, number, words, 4)
        _mark(path, number, mask, slice(y, y + height), slice(x, x + width))
    return mask


def _lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, list[str]]]:
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CryosnakeError(f"{path} cannot be read as a defect list: {error}. Correct the path in the "
                             "config.") from None
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if words:
            yield number, words


def _serialem(path: str | os.PathLike[str], lines: list[tuple[int, list[str]]], shape: tuple[int, int]) -> np.ndarray:
    """Read SerialEM's format; entries that describe the camera, not defects, are ignored."""
    camera = {words[0].lower(): _numbers(path, number, words[1:], 1)[0]
              for number, words in lines if words[0].lower() in _SERIALEM}
    if len(camera) != 2:
        raise CryosnakeError(f"{path} needs both CameraSizeX and CameraSizeY.")
    size = (camera["camerasizey"], camera["camerasizex"])
    if not any(size == (int(shape[0] * factor), int(shape[1] * factor)) for factor in (1, 2, 0.5)):
        raise CryosnakeError(f"{path} is a defect list for {_size(size)} pixels (width x height), the movie has "
                             f"{_size(shape)}. Give the list of this camera.")
    mask = np.zeros(size, bool)
    whole = slice(None)
    for number, (keyword, *words) in lines:
        match keyword.lower():
            case "badcolumns":
                for column in _numbers(path, number, words):
                    _mark(path, number, mask, whole, slice(column, column + 1))
            case "badrows":
                for row in _numbers(path, number, words):
                    _mark(path, number, mask, slice(row, row + 1), whole)
            case "badpixels":
                pairs = _numbers(path, number, words, len(words) + len(words) % 2)
                for x, y in zip(pairs[::2], pairs[1::2], strict=True):
                    _mark(path, number, mask, slice(y, y + 1), slice(x, x + 1))
            case "partialbadcolumn":
                x, width, top, bottom = _numbers(path, number, words, 4)
                _mark(path, number, mask, slice(top, bottom + 1), slice(x, x + width))
            case "partialbadrow":
                y, height, left, right = _numbers(path, number, words, 4)
                _mark(path, number, mask, slice(y, y + height), slice(left, right + 1))
            case "usablearea":
                top, left, bottom, right = _numbers(path, number, words, 4)
                if bottom > top and right > left:  # zeros mean that the whole camera is usable
                    outside = np.ones(size, bool)
                    outside[top : bottom + 1, left : right + 1] = False
                    mask |= outside
    return _fitted(mask[::-1], shape)


def _fitted(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    height, width = mask.shape
    if (height, width) == tuple(shape):
        return np.ascontiguousarray(mask)
    if (2 * height, 2 * width) == tuple(shape):
        return mask.repeat(2, 0).repeat(2, 1)
    return np.any(mask.reshape(shape[0], 2, shape[1], 2), axis=(1, 3))


def _numbers(path: str | os.PathLike[str], line: int, words: list[str], count: int | None = None) -> list[int]:
    try:
        numbers = [int(word) for word in words]
    except ValueError:
        numbers = []
    if not numbers or (count is not None and len(numbers) != count) or min(numbers) < 0:
        raise CryosnakeError(f"{path}, line {line}: {' '.join(words)!r} where {count or 'a list of'} whole numbers "
                             "≥ 0 are expected (x y width height, or SerialEM's entries). Correct the line.")
    return numbers


def _mark(path: str | os.PathLike[str], line: int, mask: np.ndarray, rows: slice, columns: slice) -> None:
    """Mark a rectangle; one that starts outside the camera belongs to another camera."""
    if (rows.start or 0) >= mask.shape[0] or (columns.start or 0) >= mask.shape[1]:
        raise CryosnakeError(f"{path}, line {line}: the defect lies outside {_size(mask.shape)} pixels "
                             "(width x height). Give the list of this camera mode.")
    mask[rows, columns] = True


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]}"
