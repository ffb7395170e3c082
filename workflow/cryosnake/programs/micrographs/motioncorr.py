"""MotionCorr: movies to aligned, dose-weighted micrographs, one movie at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.checked_numbers import checked_field
from cryosnake.io.movies import MovieInfo, movie_info, read_frames
from cryosnake.io.mrc import write_mrc
from cryosnake.jobs.options import MotionCorrOptions
from cryosnake.numerics.backend import Array, choose_device, to_numpy
from cryosnake.numerics.motion.dose import accumulated_dose, critical_exposure
from cryosnake.numerics.motion.power import power_spectrum
from cryosnake.numerics.motion.summing import sum_frames
from cryosnake.numerics.motion.track import AlignmentSettings, MovieMotion, track_motion
from cryosnake.programs.micrographs.motioncorr_files import MovieRecord, accumulated_motion, write_metadata
from cryosnake.programs.micrographs.motioncorr_movie import Calibration, Spectra, dose_weights, transform_movie
from cryosnake.programs.micrographs.movie_doubts import MovieDoubts
from cryosnake.programs.micrographs.optics_values import optics_value, say_optics

_LEAST_DOSE = 4.0  # e/Å², RELION's dose of the groups whose spectra are added
_EARLY = 4.0  # e/Å², RELION's limit between early and late motion


@dataclass(frozen=True, kw_only=True)
class MotionCorrState:
    """Settings shared by all movies of an optics group; gain and defects are read when first needed."""

    options: MotionCorrOptions
    voltage: float
    pixel_size: float
    device: str
    calibration: Calibration
    doubts: MovieDoubts


def prepare(options: MotionCorrOptions, optics: Mapping[str, Any], inputs: Mapping[str, Path]) -> MotionCorrState:
    """Return the settings for one optics group.

    Raises
    ------
    CryosnakeError
        When a parameter is invalid, the optics table lacks a value, or gain or defects are not there.
    """
    _check_options(options)
    for what, path in (("gain", options.gain), ("defects", options.defects)):
        if path and not Path(path).exists():
            raise CryosnakeError(f"{path}: the file ({what}) does not exist; the path is relative to the project")
    rotation = _quarter_turns(options.gain_rotation)
    voltage = optics_value(optics, "rlnVoltage")
    if options.dose_weighting:
        _check_voltage(voltage, optics)
    pixel_size = optics_value(optics, "rlnMicrographOriginalPixelSize")
    say_optics(optics, f"{voltage:g} kV", f"{pixel_size:g} Å per pixel", f"{options.dose_per_frame:g} e/Å² per frame")
    return MotionCorrState(
        options=options,
        voltage=voltage,
        pixel_size=pixel_size,
        device=choose_device(options.device),
        calibration=Calibration(options, rotation),
        doubts=MovieDoubts(options=options, rotation=rotation, pixel_size=pixel_size),
    )


def process(row: Mapping[str, Any], optics: Mapping[str, Any], state: MotionCorrState, root: Path) -> dict[str, Any]:
    """Correct one movie, write its products below `root` and return its row of corrected_micrographs.star.

    Raises
    ------
    CryosnakeError
        When the movie is missing, damaged or blank, lacks the requested frames, gain or defects do not fit it, or its
        rlnMicrographPreExposure is not a dose.
    """
    name = str(row["rlnMicrographMovieName"])
    options = state.options
    before = options.pre_exposure + checked_field(row, "rlnMicrographPreExposure", 0.0)
    info = movie_info(name)
    first, last = _frame_range(name, info, options)
    raw = read_frames(name, first, last, eer_grouping=options.eer_grouping, eer_upsampling=options.eer_upsampling)
    try:
        spectra = transform_movie(raw, name, state.calibration, options.bfactor, options.bin_factor, state.device)
        state.doubts.look_at(name, raw, state.calibration.of(name, spectra.movie_shape)[0])
        del raw
        motion = track_motion(spectra.band_spectra, spectra.band, spectra.movie_shape, _settings(state))
        state.doubts.look_at_motion(name, motion.shifts)
        root.parent.mkdir(parents=True, exist_ok=True)
        doses = accumulated_dose(len(motion.shifts), options.dose_per_frame, before, first - 1)
        written = _write_images(spectra, motion, state, doses, root)
    except ValueError as error:
        raise CryosnakeError(f"{name}: {error}") from error
    count = _frame_count(info, options)
    record = MovieRecord(name=name, gain=state.calibration.applied_gain(root), shape=spectra.movie_shape, count=count,
                         first=first, eer=info.kind == "eer", pixel_size=state.pixel_size, voltage=state.voltage,
                         pre_exposure=before)
    metadata = root.with_name(root.name + ".star")
    write_metadata(metadata, record, motion, spectra.hot_pixels, options)
    total, early, late = accumulated_motion(motion.shifts, doses, _EARLY)
    return {**written, "rlnMicrographMetadata": metadata.as_posix(), "rlnOpticsGroup": row.get("rlnOpticsGroup", 1),
            "rlnAccumMotionTotal": total, "rlnAccumMotionEarly": early, "rlnAccumMotionLate": late}


def update_optics(optics: Mapping[str, Any], options: MotionCorrOptions) -> dict[str, Any]:
    """Return the new column of the optics table: the pixel size of the sums."""
    pixel_size = optics_value(optics, "rlnMicrographOriginalPixelSize")
    return {**optics, "rlnMicrographPixelSize": pixel_size * options.bin_factor}


def _write_images(spectra: Spectra, motion: MovieMotion, state: MotionCorrState, doses: np.ndarray, root: Path,
                  ) -> dict[str, str]:
    """Write the sums and the power spectrum, the sum that serves as the micrograph last; return the names."""
    options, pixel_size = state.options, state.pixel_size * state.options.bin_factor
    scale = np.array(spectra.scale)
    shifts = motion.shifts * scale
    local = None if motion.coefficients is None else motion.coefficients * scale[:, None]
    names: dict[str, str] = {}

    def save(label: str, suffix: str, image: Array, pixel: float, float16: bool) -> None:
        path = root.with_name(root.name + suffix)
        write_mrc(path, to_numpy(image), pixel, float16=float16)
        names[label] = path.as_posix()

    if options.save_unweighted and options.dose_weighting:
        save("rlnMicrographNameNoDW", "_noDW.mrc", sum_frames(spectra.sum_spectra, spectra.shape, shifts, local),
             pixel_size, options.float16)
    if options.power_spectrum:
        groups = _spectrum_groups(options, len(shifts))
        image, pixel = power_spectrum(spectra.sum_spectra, shifts, spectra.shape, pixel_size, groups)
        save("rlnCtfPowerSpectrum", "_PS.mrc", image, pixel, False)
    weights = None
    if options.dose_weighting:
        weights = dose_weights(spectra.shape, pixel_size, state.voltage, options.dose_per_frame, tuple(doses.tolist()),
                               state.device)
    save("rlnMicrographName", ".mrc", sum_frames(spectra.sum_spectra, spectra.shape, shifts, local, weights),
         pixel_size, options.float16)
    return names


def _spectrum_groups(options: MotionCorrOptions, frames: int) -> list[int]:
    """Return the frames per group of the power spectrum, several where the dose is not given."""
    if not options.dose_per_frame:
        return [1]
    if options.power_spectrum_dose is not None:
        return [max(1, round(options.power_spectrum_dose / options.dose_per_frame))]
    most = max(1, round(frames * options.dose_per_frame / _LEAST_DOSE))
    # Groups of the same size: a last one of a few frames would count as much as the others.
    return sorted({math.ceil(frames / max(1, most // 2**halvings)) for halvings in range(most.bit_length())})


def _settings(state: MotionCorrState) -> AlignmentSettings:
    options = state.options
    along_x, along_y = options.patches
    return AlignmentSettings(patches=(along_x, along_y), group_frames=options.group_frames, bfactor=options.bfactor,
                             max_shift=options.max_shift,
                             expected_local=options.expected_local_motion / state.pixel_size)


def _frame_count(info: MovieInfo, options: MotionCorrOptions) -> int:
    return info.frames // options.eer_grouping if info.kind == "eer" else info.frames


def _frame_range(name: str, info: MovieInfo, options: MotionCorrOptions) -> tuple[int, int]:
    count = _frame_count(info, options)
    last = count if options.last_frame <= 0 else min(options.last_frame, count)
    if count == 0:
        raise CryosnakeError(f"{name} has {info.frames} EER frames, fewer than eer_grouping "
                             f"({options.eer_grouping}) adds up; lower eer_grouping.")
    if not options.first_frame <= last:
        raise CryosnakeError(f"{name} has {count} frames; {options.first_frame} to {options.last_frame} were asked "
                             "for. Change first_frame or last_frame.")
    return options.first_frame, last


def _check_options(options: MotionCorrOptions) -> None:
    if options.dose_per_frame is None or not math.isfinite(options.dose_per_frame) or options.dose_per_frame < 0:
        raise CryosnakeError(f"motioncorr: dose_per_frame is {options.dose_per_frame}; give the dose of one frame in "
                             "e/Å², here or under `microscope:`")
    if options.dose_weighting and options.dose_per_frame == 0:
        raise CryosnakeError("motioncorr: dose weighting needs a dose; give dose_per_frame, or set "
                             "dose_weighting: false")


def _check_voltage(voltage: float, optics: Mapping[str, Any]) -> None:
    try:
        critical_exposure(np.ones(1), voltage)
    except ValueError as error:
        raise CryosnakeError(f"optics group {optics.get('rlnOpticsGroup', '?')}: rlnVoltage: {error}; correct it, or "
                             "set dose_weighting: false") from error


def _quarter_turns(rotation: int) -> int:
    turns = {0: 0, 1: 1, 2: 2, 3: 3, 90: 1, 180: 2, 270: 3}
    if rotation not in turns:
        raise CryosnakeError(f"motioncorr: gain_rotation is {rotation}; it must be 0, 90, 180 or 270 degrees")
    return turns[rotation]
