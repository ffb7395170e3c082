"""Motion of one movie: whole frames, then patches and the local model, in the band of the alignment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.backend import Array
from cryosnake.numerics.motion.correlation import WeightedBand
from cryosnake.numerics.motion.joint import fit_local_motion
from cryosnake.numerics.motion.local_model import mean_motion, time_terms
from cryosnake.numerics.motion.patches import cut_patches, frame_groups, patch_grid
from cryosnake.numerics.motion.smoothing import smooth_shifts
from cryosnake.numerics.motion.whole_frame import align_frames


@dataclass(frozen=True, kw_only=True)
class AlignmentSettings:
    """Settings of the motion search; lengths in pixels of the movie.

    `patches` along x and y; `group_frames` are summed for the patches; `bfactor` pixels²; `max_shift` between two
    rounds; `expected_local` is the prior standard deviation of local motion.
    """

    patches: tuple[int, int] = (5, 5)
    group_frames: int = 1
    bfactor: float = 150.0
    max_shift: float = 50.0
    expected_local: float = 2.0


@dataclass(frozen=True, kw_only=True)
class MovieMotion:
    """Motion of a movie, as shifts to apply to the frames, x and y in pixels.

    `shifts` (f, 2) of the whole frames, the first 0; `coefficients` (2, 18) of the local model, None without one. The
    local model has no mean over the image, so the shifts are right by themselves for what uses nothing else.
    The rest documents the fit: `measured` (g, p, 2) local shifts of each patch by itself, at the frame numbers `times`
    (g,) after the first and `centres` (p, 2); `trust` (g, p) is their weight in the fit, 1 for those that agree.
    """

    shifts: np.ndarray
    coefficients: np.ndarray | None
    times: np.ndarray
    centres: np.ndarray
    measured: np.ndarray
    trust: np.ndarray


def track_motion(spectra: Array, band: WeightedBand, image: tuple[int, int], settings: AlignmentSettings,
                 ) -> MovieMotion:
    """Find the motion of the frames.

    Parameters
    ----------
    spectra
        rfft2 of the frames in `band`, (f, rows, columns).
    band
        Of `make_band(image, settings.bfactor)`.
    image
        (ny, nx) of the movie.
    settings
        See `AlignmentSettings`.
    """
    shifts = align_frames(spectra, band, image, settings.bfactor, settings.max_shift)
    grid = patch_grid(image, settings.patches)
    groups = frame_groups(len(spectra), settings.group_frames)
    if grid == (1, 1) or len(groups) < 3:
        return MovieMotion(shifts=shifts, coefficients=None, times=np.zeros(0), centres=np.zeros((0, 2)),
                           measured=np.zeros((0, 0, 2)), trust=np.zeros((0, 0)))
    times = np.array([np.mean(group) for group in groups])
    patches = cut_patches(spectra, band, image, shifts, grid, groups, settings.bfactor)
    local = fit_local_motion(patches, times, image, settings.expected_local)
    frames = np.arange(len(spectra))
    shifts = shifts + np.stack([np.interp(frames, times, local.corrections[:, axis]) for axis in (0, 1)], axis=1)
    shifts = smooth_shifts(shifts, local.variance * len(spectra) / len(groups))
    # The fit's whole-frame shifts are those at the centre of the image; its mean moves by the local model's mean too.
    mean, coefficients = mean_motion(local.coefficients), local.coefficients.copy()
    coefficients[:, :3] -= mean
    shifts = shifts + time_terms(frames) @ mean.T
    return MovieMotion(shifts=shifts - shifts[0], coefficients=coefficients, times=times, centres=patches.centres,
                       measured=local.measured - (time_terms(times) @ mean.T)[:, None], trust=local.trust)
