"""Boxes about the particles of a movie, frame by frame, as transforms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.defects import read_defects
from cryosnake.io.gain import read_gain
from cryosnake.io.movies import read_frames
from cryosnake.numerics.backend import Array, fft_of, namespace
from cryosnake.numerics.motion.frames import corrected_frame, replacement_sources
from cryosnake.numerics.refine.grids.bands import Band
from cryosnake.programs.polish.motion_metadata import RecordedMotion

_SEED = 1  # of the draws that replace bad pixels
_AT_ONCE = 16  # particles


@dataclass(frozen=True, kw_only=True)
class MovieBoxes:
    """The frames of a movie and the places of particles in them.

    Attributes
    ----------
    raw : (f, ny, nx)
    gain : (ny, nx) float32 or None
    bad : (ny, nx) bool
    places : (p, f, 2)
        Pixels of the movie: the boxes' centres.
    window, box : int
        Pixels of the movie and of the images made of it, which have the same extent.
    like : array
        Of the device on which transforms are computed.
    """

    raw: np.ndarray
    gain: np.ndarray | None
    bad: np.ndarray
    places: np.ndarray
    window: int
    box: int
    like: Array

    def transforms(self, band: Band) -> Iterator[Array]:
        """Yield for each frame transforms (p, pixels) complex64 at a band's pixels, RELION's scale, protein bright.

        The phase origin is the place of the particle, exactly.
        """
        xp, fft = namespace(self.like), fft_of(self.like)
        rng, targets = np.random.default_rng(_SEED), np.flatnonzero(self.bad)
        clean = xp.empty(self.raw.shape[1:], xp.float32)
        gain, there = None if self.gain is None else xp.asarray(self.gain), xp.asarray(targets)
        kx, ky = (np.rint(k).astype(np.int64) for k in (band.kx, band.ky))
        pixel = xp.asarray(ky % self.window * (self.window // 2 + 1) + kx)
        scale = xp.asarray(_from_centre(kx + ky, self.window) / np.float32(-self.window**2))
        for frame, places in zip(self.raw, np.swapaxes(self.places, 0, 1), strict=True):
            sources = xp.asarray(replacement_sources(self.bad, targets, rng))
            corrected_frame(xp.asarray(frame), gain, there, sources, clean)
            result = xp.empty((len(places), len(kx)), xp.complex64)
            whole = np.rint(places).astype(np.int64)
            windows = self._windows(clean)
            for begin in range(0, len(places), _AT_ONCE):
                part = slice(begin, begin + _AT_ONCE)
                spectra = fft.rfft2(_cut(windows, whole[part]))
                result[part] = spectra.reshape(len(spectra), -1)[:, pixel]
            result *= band.phases((whole - places) * (self.box / self.window), like=result)
            yield result * scale

    def _windows(self, frame: Array) -> Array:
        """Return a view of the boxes (y, x, window, window) about all places; pixels beyond the frame repeat its edge.

        The box at 0, 0 begins window + 1 pixels before the frame.
        """
        xp, wide = namespace(frame), self.window + 1
        padded = xp.pad(frame, wide, mode="edge")
        return xp.lib.stride_tricks.sliding_window_view(padded, (self.window, self.window))


def _cut(windows: Array, whole: np.ndarray) -> Array:
    """Return the boxes (n, window, window) about whole pixels (n, 2), x and y, less their means."""
    xp, window = namespace(windows), windows.shape[-1]
    x, y = (xp.asarray(np.clip(whole[:, axis] + window + 1 - window // 2, 0, windows.shape[1 - axis] - 1))
            for axis in (0, 1))
    boxes = windows[y, x]
    boxes -= boxes.mean((1, 2), keepdims=True)
    return boxes


def _from_centre(frequency: np.ndarray, window: int) -> np.ndarray:
    """Return the phases, complex64, by which a transform's origin moves from pixel 0 to window // 2."""
    return np.exp(2j * np.pi * (window // 2) / window * frequency).astype(np.complex64)


def open_movie(motion: RecordedMotion, frames: np.ndarray, places: np.ndarray, size: tuple[int, int], like: Array,
               ) -> MovieBoxes:
    """Return the boxes of frames (f,), from 1, about places (p, f, 2); `size` is window and box.

    Raises
    ------
    CryosnakeError
        when movie, gain or defects cannot be read, or do not fit the motion metadata
    """
    raw = read_frames(motion.movie, int(frames[0]), int(frames[-1]), eer_grouping=motion.eer_grouping,
                      eer_upsampling=motion.eer_upsampling)
    if raw.shape[1:] != motion.shape:
        raise CryosnakeError(f"{motion.movie} has {raw.shape[2]} × {raw.shape[1]} pixels, {motion.path} says "
                             f"{motion.shape[1]} × {motion.shape[0]}. Restore the movie, or run MotionCorr again")
    gain = read_gain(motion.gain, motion.shape, *motion.gain_turn, movie=motion.movie) if motion.gain else None
    bad = np.zeros(motion.shape, bool) if gain is None else gain <= 0
    if motion.defects:
        bad |= read_defects(motion.defects, motion.shape)
    bad[motion.hot_pixels[:, 1], motion.hot_pixels[:, 0]] = True
    return MovieBoxes(raw=raw, gain=gain, bad=bad, places=places, window=size[0], box=size[1], like=like)
