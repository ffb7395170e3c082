"""The STAR file that describes a movie's motion, as RELION writes and reads it (its `Micrograph` metadata)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.io.star import write_star
from cryosnake.jobs.options import MotionCorrOptions
from cryosnake.numerics.motion.track import MovieMotion

_UNUSED = -9999.0  # RELION's shift of a frame that is not in the sum


@dataclass(frozen=True, kw_only=True)
class MovieRecord:
    """Metadata of the movie itself: `shape` (ny, nx), `count` of frames, `first` (from 1) in the sum.

    `pixel_size` in Å, `voltage` in kV, `pre_exposure` in e/Å²; `gain` names the reference as it lies on the frames, ""
    for none.
    """

    name: str
    gain: str
    shape: tuple[int, int]
    count: int
    first: int
    eer: bool
    pixel_size: float
    voltage: float
    pre_exposure: float


def write_metadata(path: Path, movie: MovieRecord, motion: MovieMotion, hot_pixels: np.ndarray,
                   options: MotionCorrOptions) -> None:
    """Write X.star: data_general, data_global_shift and, where there are any, the local model and hot pixels."""
    tables: dict[str, Any] = {"general": _general(movie, motion, options), "global_shift": _global_shift(movie, motion)}
    if motion.coefficients is not None:
        tables["local_motion_model"] = pd.DataFrame({
            "rlnMotionModelCoeffsIdx": np.arange(motion.coefficients.size),
            "rlnMotionModelCoeff": motion.coefficients.ravel()})
    if len(hot_pixels):
        tables["hot_pixels"] = pd.DataFrame(hot_pixels.astype(float), columns=["rlnCoordinateX", "rlnCoordinateY"])
    if motion.coefficients is not None:
        tables["local_shift"] = _local_shift(movie, motion)
    write_star(path, tables)


def accumulated_motion(shifts: np.ndarray, doses: np.ndarray, early: float) -> tuple[float, float, float]:
    """Return the length of the whole-frame path, and of its parts before and after an exposure, pixels.

    Parameters
    ----------
    shifts
        (f, 2), pixels.
    doses
        Accumulated dose at the end of each frame, e/Å².
    early
        A step belongs to the early part when its later frame ends within this dose, e/Å². Where frames have so much
        dose that none does, the first step is early if the movie begins within it.
    """
    steps = np.linalg.norm(np.diff(shifts, axis=0), axis=1)
    is_early = np.asarray(doses)[1:] <= early
    is_early[:1] |= 2 * np.asarray(doses)[:1] - doses[1:2] < early  # the dose when the first frame began
    first = float(steps[is_early].sum())
    return float(steps.sum()), first, float(steps.sum()) - first


def _general(movie: MovieRecord, motion: MovieMotion, options: MotionCorrOptions) -> dict[str, Any]:
    general: dict[str, Any] = {
        "rlnImageSizeX": movie.shape[1], "rlnImageSizeY": movie.shape[0], "rlnImageSizeZ": movie.count,
        "rlnMicrographMovieName": movie.name}
    if movie.gain:
        general["rlnMicrographGainName"] = movie.gain
    if options.defects:
        general["rlnMicrographDefectFile"] = options.defects
    general |= {
        "rlnMicrographBinning": options.bin_factor, "rlnMicrographOriginalPixelSize": movie.pixel_size,
        "rlnMicrographDoseRate": options.dose_per_frame, "rlnMicrographPreExposure": movie.pre_exposure,
        "rlnVoltage": movie.voltage, "rlnMicrographStartFrame": movie.first}
    if movie.eer:
        general |= {"rlnEERUpsampling": options.eer_upsampling, "rlnEERGrouping": options.eer_grouping}
    return general | {"rlnMotionModelVersion": int(motion.coefficients is not None)}


def _global_shift(movie: MovieRecord, motion: MovieMotion) -> pd.DataFrame:
    shifts = np.full((movie.count, 2), _UNUSED)
    shifts[movie.first - 1 : movie.first - 1 + len(motion.shifts)] = motion.shifts
    return pd.DataFrame({"rlnMicrographFrameNumber": np.arange(1, movie.count + 1),
                         "rlnMicrographShiftX": shifts[:, 0], "rlnMicrographShiftY": shifts[:, 1]})


def _local_shift(movie: MovieRecord, motion: MovieMotion) -> pd.DataFrame:
    """Return the independent shifts of each patch."""
    groups, patches = motion.measured.shape[:2]
    frames = np.rint(motion.times).astype(int) + movie.first
    return pd.DataFrame({
        "rlnMicrographFrameNumber": np.tile(frames, patches),
        "rlnCoordinateX": np.repeat(motion.centres[:, 0], groups),
        "rlnCoordinateY": np.repeat(motion.centres[:, 1], groups),
        "rlnMicrographShiftX": motion.measured[..., 0].T.ravel(),
        "rlnMicrographShiftY": motion.measured[..., 1].T.ravel()})
