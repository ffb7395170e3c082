"""The motion of a movie as motion correction has recorded it, in RELION's files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.checked_numbers import number_of, numbers_of
from cryosnake.io.star import read_star
from cryosnake.numerics.motion.local_model import local_shifts
from cryosnake.programs.polish.gain_turn import gain_turn

_UNUSED = -9000.0  # shifts below mark frames that were not aligned
_REMEDY = "Polish needs what MotionCorr, or RELION's own motion correction, writes (rlnMicrographMetadata)"


@dataclass(frozen=True, kw_only=True)
class RecordedMotion:
    """A movie and its motion.

    Attributes
    ----------
    path, movie, gain, defects : str
        The metadata; names of files, "" for none.
    gain_turn : (int, int)
        Rotation, in quarter turns, and flip that the gain still needs.
    shape : (int, int)
        (ny, nx) of the movie.
    frames, first : int
        All frames; number of the first one that was aligned, from 1.
    pixel_size, dose, binning : float
        Of the movie, Å; e/Å² per frame; pixels of the movie per pixel of the micrograph.
    eer_grouping, eer_upsampling : int
    shifts : (frames, 2)
        Of the whole frames, pixels of the movie; NaN for frames that were not aligned.
    coefficients : (36,) or None
        The local model.
    hot_pixels : (n, 2)
    """

    path: str
    movie: str
    gain: str
    gain_turn: tuple[int, int]
    defects: str
    shape: tuple[int, int]
    frames: int
    first: int
    pixel_size: float
    dose: float
    binning: float
    eer_grouping: int
    eer_upsampling: int
    shifts: np.ndarray
    coefficients: np.ndarray | None
    hot_pixels: np.ndarray

    def displacements(self, frames: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Return where points (p, 2) of the micrograph are in frames (f,), from 1, relative to there: (p, f, 2)."""
        whole = -self.shifts[frames - 1][None]
        if self.coefficients is None:
            return np.repeat(whole, len(places), axis=0)
        local = local_shifts(self.coefficients, frames - self.first, places, self.shape)
        return np.asarray(whole - np.swapaxes(local, 0, 1))


def read_motion(path: str) -> RecordedMotion:
    """Return the motion that a metadata file records.

    Raises
    ------
    CryosnakeError
        when it is missing or of another program, or the movie is gone
    """
    if not Path(path).exists():
        raise CryosnakeError(f"{path}, the motion metadata of a movie, does not exist. Restore it, or run MotionCorr "
                             "again")
    tables = read_star(path)
    if not {"general", "global_shift"} <= set(tables):
        raise CryosnakeError(f"{path} has no data_general and data_global_shift. {_REMEDY}")
    general, shifts = tables["general"].iloc[0], tables["global_shift"]
    movie = _text(general, "rlnMicrographMovieName")
    if not Path(movie).exists():
        raise CryosnakeError(f"{path}: the movie {movie} does not exist. Restore it: particles are polished from the "
                             "frames of the movies")
    version = _number(path, general, "rlnMotionModelVersion", 0.0)
    if version not in (0.0, 1.0):
        raise CryosnakeError(f"{path}: rlnMotionModelVersion is {version:g}, expected 0 or 1. {_REMEDY}")
    gain = _text(general, "rlnMicrographGainName")
    whole = np.stack([numbers_of(shifts[f"rlnMicrographShift{axis}"]) for axis in "XY"], 1)
    model = tables.get("local_motion_model")
    hot = tables.get("hot_pixels")
    return RecordedMotion(
        path=path, movie=movie, gain=gain, gain_turn=gain_turn(path, gain) if gain else (0, 0),
        defects=_text(general, "rlnMicrographDefectFile"),
        shape=(int(_number(path, general, "rlnImageSizeY")), int(_number(path, general, "rlnImageSizeX"))),
        frames=int(_number(path, general, "rlnImageSizeZ")),
        first=int(_number(path, general, "rlnMicrographStartFrame", 1.0)),
        pixel_size=_number(path, general, "rlnMicrographOriginalPixelSize"),
        dose=_number(path, general, "rlnMicrographDoseRate"),
        binning=_number(path, general, "rlnMicrographBinning", 1.0),
        eer_grouping=int(_number(path, general, "rlnEERGrouping", 40.0)),
        eer_upsampling=int(_number(path, general, "rlnEERUpsampling", 1.0)),
        shifts=np.where(whole < _UNUSED, np.nan, whole), coefficients=_coefficients(path, model) if version else None,
        hot_pixels=_places(hot))


def _coefficients(path: str, model: pd.DataFrame | None) -> np.ndarray:
    if model is None or len(model) != 36:
        raise CryosnakeError(f"{path}: data_local_motion_model has {0 if model is None else len(model)} coefficients, "
                             f"expected 36. {_REMEDY}")
    return np.asarray(numbers_of(model["rlnMotionModelCoeff"]), float)


def _places(table: pd.DataFrame | None) -> np.ndarray:
    if table is None:
        return np.zeros((0, 2), np.int64)
    return np.stack([numbers_of(table[f"rlnCoordinate{axis}"]) for axis in "XY"], 1).astype(np.int64)


def _text(general: pd.Series, label: str) -> str:
    text = str(general.get(label, "")).strip()
    return "" if text in ("None", "nan") else text


def _number(path: str, general: pd.Series, label: str, default: float | None = None) -> float:
    value: Any = general.get(label, default)
    number = float("nan") if value is None else number_of(value)
    if not np.isfinite(number):
        raise CryosnakeError(f"{path} has no number {label}. {_REMEDY}")
    return number
