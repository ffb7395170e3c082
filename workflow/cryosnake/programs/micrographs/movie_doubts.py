"""What movies say against their description: gain, dose, contrast, order of frames. Each is said once, nothing stops.

Only the centre of the first movies of a process is looked at, so that it costs next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cryosnake.jobs.options import MotionCorrOptions
from cryosnake.numerics.motion.frame_order import jumps
from cryosnake.numerics.motion.gain_pattern import (
    RIGHT,
    common_pattern,
    fine_pattern,
    orientations,
    slope_on,
)
from cryosnake.numerics.motion.shot_noise import ShotNoise, shot_noise

_LOOKED_AT = 3  # movies
_WIDTH, _NOISE_WIDTH = 1024, 512  # pixels of the centre, for the gain and for the noise
_FAR_OFF = 3.0  # times: of electrons counted and stated; losses of cameras, filters and ice stay below
_UNCORRECTED = 0.015  # relative standard deviation of a pattern that a gain would remove; of corrected frames under 1 %


@dataclass(kw_only=True)
class MovieDoubts:
    """The doubts about the movies of one process. `rotation` of the gain in quarter turns, `pixel_size` in Å."""

    options: MotionCorrOptions
    rotation: int
    pixel_size: float
    _looked: int = 0
    _dark: int = 0  # movies in a row with fewer electrons than stated
    _pattern: np.ndarray | None = None
    _said: set[str] = field(default_factory=set)

    def look_at(self, movie: str, raw: np.ndarray, gain: np.ndarray | None) -> None:
        """Say what the raw frames (f, ny, nx) of a movie contradict; `gain` (ny, nx) as it is applied."""
        if self._looked >= _LOOKED_AT or len(raw) < 2:
            return
        self._looked += 1
        centre = _centre(raw.shape[1:], _WIDTH)
        frames = raw[(slice(None), *centre)]
        if not np.isfinite(frames[0]).all():
            return
        noise = shot_noise(frames[(slice(None), *_centre(frames.shape[1:], _NOISE_WIDTH))])
        if noise.is_inverted:
            self._say("contrast", f"{movie}: the noise is stronger where the frames are darker, so the contrast is "
                      "inverted: movies must be bright where electrons arrive. Invert them again.")
        self._doubt_dose(movie, noise)
        pattern = fine_pattern(frames.sum(axis=0, dtype=np.float32))
        if gain is None:
            self._doubt_no_gain(movie, frames, pattern)
        else:
            self._doubt_gain(movie, pattern, gain, centre)

    def look_at_motion(self, movie: str, shifts: np.ndarray) -> None:
        """Say when frames of which these are the shifts (f, 2), pixels, jump to and fro."""
        if jumps(shifts):
            self._say("order", f"{movie}: the frames jump to and fro, which no specimen does: are they in the order in "
                      "which they were taken? If so, they have too little signal to be aligned (group_frames).")

    def _doubt_dose(self, movie: str, noise: ShotNoise) -> None:
        stated = (self.options.dose_per_frame or 0.0) * self.pixel_size**2
        if noise.counts is None or not stated > 0:
            return
        ratio = noise.counts / stated
        self._dark = self._dark + 1 if ratio < 1.0 / _FAR_OFF else 0
        if ratio > _FAR_OFF or self._dark >= _LOOKED_AT:  # one movie may be of a bar of the grid
            self._say("dose", f"{movie} has {noise.counts:.3g} electrons in a pixel of a frame, where dose_per_frame "
                      f"{self.options.dose_per_frame:g} e/Å² at {self.pixel_size:g} Å per pixel would give "
                      f"{stated:.3g}: one of the two is wrong (dose of a frame, pixels of the movie).")

    def _doubt_no_gain(self, movie: str, frames: np.ndarray, pattern: np.ndarray) -> None:
        before, self._pattern = self._pattern, pattern
        if before is None or before.shape != pattern.shape or not np.issubdtype(frames.dtype, np.integer):
            return  # frames that were multiplied by a gain are no whole numbers
        found = common_pattern(before, pattern)
        if found > _UNCORRECTED:
            self._say("gain", f"{movie}: pixels differ by {100 * found:.1f} %, in the same way as in the movie before: "
                      "they were not corrected. Give the gain reference (gain:).")

    def _doubt_gain(self, movie: str, pattern: np.ndarray, gain: np.ndarray, centre: tuple[slice, slice]) -> None:
        given = slope_on(pattern, fine_pattern(gain[centre]))
        if not given.is_known or given.value < RIGHT:
            return
        name, wrong = self.options.gain, "the images are worse with it"
        if given.value > -RIGHT:
            self._say("gain", f"{name}: frames are multiplied by the gain, but {movie} shows its reciprocal: {wrong}. "
                      "Give 1 / gain.")
            return
        for turns, flip, image in orientations(gain, self.rotation, self.options.gain_flip):
            other = slope_on(pattern, fine_pattern(image[centre]))
            if other.is_known and abs(other.value) > -RIGHT:
                reciprocal = "" if other.value < 0 else ", of its reciprocal"
                self._say("gain", f"{name} is turned: {wrong}. {movie} shows its pattern{reciprocal} with "
                          f"gain_rotation: {90 * turns}, gain_flip: {flip}. Set these.")
                return
        self._say("gain", f"{name}: {movie} does not show its pattern in any orientation: {wrong}. Give the gain of "
                  "this session and camera mode, or none if the frames are corrected already.")

    def _say(self, what: str, text: str) -> None:
        if what not in self._said:
            self._said.add(what)
            print(f"WARNING: {text}", flush=True)


def _centre(shape: tuple[int, ...], width: int) -> tuple[slice, slice]:
    """Return the middle of an image (ny, nx), at most `width` pixels wide."""
    ny, nx = ((size - min(size, width)) // 2 for size in shape)
    return slice(ny, shape[0] - ny), slice(nx, shape[1] - nx)
