"""One movie's frames as spectra: gain, bad pixels, Fourier transform, binning; data that movies share are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.defects import read_defects
from cryosnake.io.gain import read_gain, turned_name, write_turned_gain
from cryosnake.jobs.options import MotionCorrOptions
from cryosnake.names import is_job_name
from cryosnake.numerics.backend import Array, fft_of, namespace, to_device
from cryosnake.numerics.fourier_crop import binned_shape, resample_half_spectrum
from cryosnake.numerics.motion.correlation import WeightedBand, make_band, narrow
from cryosnake.numerics.motion.frames import bad_pixels, corrected_frame, replacement_sources
from cryosnake.numerics.motion.summing import DoseWeights, make_dose_weights

_SEED = 1  # of the draws that replace bad pixels: the same movie gives the same micrograph


@dataclass
class Calibration:
    """Gain reference and defects, read once for each size of movie; `rotation` of the gain in quarter turns."""

    options: MotionCorrOptions
    rotation: int
    _read: dict[tuple[tuple[int, int], bool], tuple[np.ndarray | None, np.ndarray, np.ndarray]] = field(
        default_factory=dict)
    _turned: set[Path] = field(default_factory=set)

    def of(self, movie: str, shape: tuple[int, int]) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
        """Return gain (None without one), its zeros and the pixels of the defect file (bool) for a movie.

        Raises
        ------
        CryosnakeError
            When a file cannot be read or does not fit the movie.
        """
        key = (shape, movie.lower().endswith((".eer", ".ecc")))
        if key not in self._read:
            options, gain = self.options, None
            if options.gain:
                gain = read_gain(options.gain, shape, self.rotation, options.gain_flip, movie=movie)
            dead = np.zeros(shape, dtype=bool) if gain is None else gain <= 0
            listed = read_defects(options.defects, shape) if options.defects else np.zeros(shape, dtype=bool)
            self._read[key] = (gain, dead, listed)
        return self._read[key]

    def applied_gain(self, root: Path) -> str:
        """Return the name of the gain as it lies on the frames, "" without one.

        The files that describe a movie's motion know no rotation. Of a gain that is turned, the job directory in which
        a micrograph's products `root` lie gets a turned copy, as from RELION.
        """
        options = self.options
        if not options.gain or (self.rotation, options.gain_flip) == (0, 0):
            return options.gain or ""
        folder = next((folder for folder in root.parents if is_job_name(f"{folder.parent.name}/{folder.name}/")),
                      root.parent)
        path = folder / turned_name(options.gain)
        if path not in self._turned:
            write_turned_gain(path, options.gain, self.rotation, options.gain_flip)
            self._turned.add(path)
        return path.as_posix()


@lru_cache(maxsize=1)  # nearly all movies of a data set have the same size and number of frames
def dose_weights(shape: tuple[int, int], pixel_size: float, voltage: float, dose_per_frame: float,
                 doses: tuple[float, ...], device: str) -> DoseWeights:
    """Return the weights of a movie's frames on `device`; arguments as of `make_dose_weights`."""
    made = make_dose_weights(shape, pixel_size, voltage, dose_per_frame, np.array(doses))
    return DoseWeights(to_device(made.first, device), to_device(made.step, device))


@dataclass(frozen=True, kw_only=True)
class Spectra:
    """The frames of a movie, transformed.

    `sum_spectra` (f, ny, nx // 2 + 1) at the binned `shape`; `band_spectra` (f, rows, columns) in the `band` of the
    alignment; `hot_pixels` (n, 2) are x, y of the bad pixels that no defect file lists; `scale` is binned by movie
    pixels, for x and y.
    """

    sum_spectra: Array
    shape: tuple[int, int]
    band_spectra: Array
    band: WeightedBand
    movie_shape: tuple[int, int]
    hot_pixels: np.ndarray
    scale: tuple[float, float]


def transform_movie(raw: np.ndarray, name: str, calibration: Calibration, bfactor: float, bin_factor: float,
                    device: str) -> Spectra:
    """Correct and transform the frames (f, ny, nx) of a movie.

    Raises
    ------
    CryosnakeError, ValueError
        When gain or defects do not fit, or the movie is blank.
    """
    image = (raw.shape[1], raw.shape[2])
    if image[0] % 2 or image[1] % 2:
        raise CryosnakeError(f"{name} has {image[1]} x {image[0]} pixels; an odd number is not supported")
    gain, dead, listed = calibration.of(name, image)
    bad = bad_pixels(_sum(raw, gain), dead | listed)
    targets = np.flatnonzero(bad)
    rng = np.random.default_rng(_SEED)
    clean = to_device(np.empty(image, dtype=np.float32), device)
    targets_there = to_device(targets, device)
    gain_there = None if gain is None else to_device(gain, device)
    band, everything = (make_band(image, b, like=clean) for b in (bfactor, 0.0))
    shape = binned_shape(image, bin_factor)
    sum_spectra = band_spectra = None
    for f, frame in enumerate(raw):
        sources = to_device(replacement_sources(bad, targets, rng), device)
        corrected_frame(to_device(frame, device), gain_there, targets_there, sources, clean)
        spectrum = fft_of(clean).rfft2(clean)
        low = narrow(spectrum, everything, band)
        kept = spectrum if shape == image else resample_half_spectrum(spectrum, image[1], shape)
        if sum_spectra is None or band_spectra is None:
            sum_spectra, band_spectra = _stack(len(raw), kept), _stack(len(raw), low)
        sum_spectra[f], band_spectra[f] = kept, low
    y, x = np.nonzero(bad & ~listed)  # RELION's polishing reads the defect file itself, but not the gain's zeros
    return Spectra(sum_spectra=sum_spectra, shape=shape, band_spectra=band_spectra, band=band, movie_shape=image,
                   hot_pixels=np.stack([x, y], axis=1), scale=(shape[1] / image[1], shape[0] / image[0]))


def _stack(count: int, like: Array) -> Array:
    return namespace(like).empty((count, *like.shape), dtype=like.dtype)


def _sum(raw: np.ndarray, gain: np.ndarray | None) -> np.ndarray:
    """Return the sum of the frames times the gain, float32."""
    total = np.zeros(raw.shape[1:], dtype=np.float32)
    for frame in raw:
        total += frame
    return total if gain is None else total * gain
