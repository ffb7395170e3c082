"""The tracks of a movie's particles, and how its frames correlate with predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

from cryosnake.jobs.options import PolishOptions
from cryosnake.numerics.polish.frame_weights import damage_weights
from cryosnake.numerics.polish.prior import motion_prior
from cryosnake.numerics.polish.tracks import fit_tracks
from cryosnake.numerics.refine.grids.bands import Band
from cryosnake.numerics.refine.grids.images import images_of_pixels
from cryosnake.programs.ctfrefine.pixels import GroupPixels
from cryosnake.programs.ctfrefine.references import References
from cryosnake.programs.polish.frames import MovieBoxes, open_movie
from cryosnake.programs.polish.particles import MovieParticles, pixels_in, predicted
from cryosnake.programs.refinement.particles import ParticleSet

_REACH = 20.0  # Å, from where motion correction puts a particle


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Result for a movie.

    Attributes
    ----------
    places : (p, f, 2) float64
        Of the particles in the frames, pixels of the movie.
    cross, frame_power, predicted_power : (f, shells) float64
        Sums over particles and pixels of a shell: Re(frame · conj(prediction)), |frame|², |prediction|², predictions
        from the half map that the particle is not part of.
    """

    places: np.ndarray
    cross: np.ndarray
    frame_power: np.ndarray
    predicted_power: np.ndarray


def find_motion(particles: ParticleSet, movie: MovieParticles, references: References, options: PolishOptions,
                ) -> Motion:
    """Return the motion of a movie's particles; a particle alone keeps the motion that was recorded."""
    pixels = pixels_in(particles, movie, references)
    halves = particles.column("rlnRandomSubset")[movie.rows].astype(np.int64)
    start = movie.places[:, None] + movie.motion.displacements(movie.frames, movie.places)
    boxes = open_movie(movie.motion, movie.frames, start, movie.window, movie.box)
    if len(movie.rows) > 1:
        own = predicted(particles, movie, pixels, halves)
        boxes = MovieBoxes(**{**vars(boxes), "places": start + _refined(movie, pixels, boxes, own, options)})
    opposite = predicted(particles, movie, pixels, 3 - halves)
    sums = [_shell_sums(movie, pixels.band, frame, opposite) for frame in boxes.transforms(pixels.band)]
    cross, frame_power, predicted_power = (np.stack(part) for part in zip(*sums, strict=True))
    return Motion(places=boxes.places, cross=cross, frame_power=frame_power, predicted_power=predicted_power)


def _refined(movie: MovieParticles, pixels: GroupPixels, boxes: MovieBoxes, own: np.ndarray, options: PolishOptions,
             ) -> np.ndarray:
    """Return what is to be added to the places (p, f, 2), pixels of the movie."""
    images, step = correlations(movie, pixels, boxes, own)
    per_frame = movie.motion.dose / step
    prior = motion_prior(movie.places * movie.motion.pixel_size, options.velocity * per_frame, options.divergence,
                         options.acceleration * per_frame)
    return fit_tracks(images, np.zeros((*images.shape[:2], 2)), prior) * (step / movie.motion.pixel_size)


def correlations(movie: MovieParticles, pixels: GroupPixels, boxes: MovieBoxes, own: np.ndarray,
                 ) -> tuple[np.ndarray, float]:
    """Return log-likelihoods (p, f, size, size) of displacements about the boxes' centres, and Å per pixel.

    2 Re Σ frame · conj(s prediction) / noise power over a half plane, for all displacements at once; s is the scale of
    the predictions in these frames, by regression over all of them.
    """
    band, damage = pixels.band, damage_weights(np.hypot(pixels.band.kx, pixels.band.ky) / pixels.length,
                                               movie.frames - 1, movie.motion.dose)
    finest = int(np.ceil(np.hypot(band.kx, band.ky).max()))
    size = scipy.fft.next_fast_len(4 * finest + 2, real=True)
    size += size % 2
    grid, step = Band(size, band.kx, band.ky, band.shell), pixels.length / size
    reach = min(int(np.ceil(_REACH / step)), size // 2)
    near = np.r_[0:reach, size - reach : size]
    result = np.empty((len(own), len(movie.frames), 2 * reach, 2 * reach), np.float32)
    cross = power = 0.0
    for number, (frame, left) in enumerate(zip(boxes.transforms(band), damage.astype(np.float32), strict=True)):
        noise = _noise(frame, band)
        expected = own * left
        product = frame * np.conj(expected) / noise
        cross += float(product.real.sum())
        power += float((np.abs(expected) ** 2 / noise).sum())
        whole = scipy.fft.ifftshift(images_of_pixels(product, grid), axes=(1, 2)) * np.float32(size * size)
        result[:, number] = whole[:, near][:, :, near]
    scale = max(cross / power, 0.0)
    return result * np.float32(scale), step


def _noise(frame: np.ndarray, band: Band) -> np.ndarray:
    """Return the mean power (pixels,) of the particles' transforms in the shell of each pixel."""
    power, count = (np.bincount(band.shell, values) for values in ((np.abs(frame) ** 2).mean(0), np.ones(len(band.kx))))
    return np.asarray((power / np.maximum(count, 1))[band.shell], np.float32)


def _shell_sums(movie: MovieParticles, band: Band, frame: np.ndarray, expected: np.ndarray) -> list[np.ndarray]:
    shells = movie.box // 2 + 1
    values = ((frame * np.conj(expected)).real, np.abs(frame) ** 2, np.abs(expected) ** 2)
    return [np.bincount(band.shell, each.sum(0, dtype=np.float64), shells) for each in values]
