"""The tracks of a movie's particles, and how its frames correlate with predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.fft

from cryosnake.numerics.backend import Array, namespace, to_numpy
from cryosnake.numerics.polish.displacements import near_origin
from cryosnake.numerics.polish.frame_weights import damage_weights, fit_strength
from cryosnake.numerics.polish.prior import MotionPrior, MotionScales, motion_prior
from cryosnake.numerics.polish.tracks import fit_tracks
from cryosnake.numerics.refine.grids.bands import Band
from cryosnake.programs.ctfrefine.pixels import GroupPixels
from cryosnake.programs.ctfrefine.references import References
from cryosnake.programs.polish.frames import MovieBoxes, open_movie
from cryosnake.programs.polish.particles import MovieParticles, pixels_in, predicted
from cryosnake.programs.refinement.particles import ParticleSet

REACH = 20.0  # Å, from where motion correction puts a particle


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Result for a movie.

    Attributes
    ----------
    places : (p, f, 2) float64
        Of the particles in the frames, pixels of the movie.
    cross, frame_power, predicted_power : (f, shells) float64
        Sums over particles and pixels of a shell of the half maps: Re(frame · conj(prediction)), |frame|²,
        |prediction|², predictions from the half map that the particle is not part of.
    """

    places: np.ndarray
    cross: np.ndarray
    frame_power: np.ndarray
    predicted_power: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A movie's frames and what they are compared with.

    Attributes
    ----------
    movie : MovieParticles
    pixels : GroupPixels
    boxes : MovieBoxes
        About the places that motion correction recorded.
    own, opposite : (p, pixels) complex64
        Predictions from the half map that each particle is part of, and from the other one.
    """

    movie: MovieParticles
    pixels: GroupPixels
    boxes: MovieBoxes
    own: Array
    opposite: Array

    @property
    def shell(self) -> np.ndarray:
        """The shell of the half maps (pixels,) in which each pixel is."""
        band = self.pixels.band
        return np.rint(np.hypot(band.kx, band.ky) * self.pixels.references.length / self.pixels.length).astype(np.int64)

    @property
    def damage(self) -> np.ndarray:
        """How much signal is left (f, pixels) float32."""
        band, movie = self.pixels.band, self.movie
        frequency = np.hypot(band.kx, band.ky) / movie.length
        return damage_weights(frequency, movie.frames - 1, movie.motion.dose).astype(np.float32)


def find_motion(particles: ParticleSet, movie: MovieParticles, references: References, scales: MotionScales) -> Motion:
    """Return the motion of a movie's particles; a particle alone keeps the motion that was recorded."""
    compared = compare(particles, movie, references)
    boxes = aligned(compared, scales) if len(movie.rows) > 1 else compared.boxes
    return Motion(places=boxes.places, **_sums(compared, boxes))


def compare(particles: ParticleSet, movie: MovieParticles, references: References) -> Compared:
    """Open a movie and predict its particles."""
    pixels = pixels_in(particles, movie, references)
    halves = particles.column("rlnRandomSubset")[movie.rows].astype(np.int64)
    start = movie.places[:, None] + movie.motion.displacements(movie.frames, movie.places)
    boxes = open_movie(movie.motion, movie.frames, start, (movie.size.window, movie.size.box),
                       references.transforms[0])
    own, opposite = (predicted(particles, movie, pixels, each) for each in (halves, 3 - halves))
    return Compared(movie=movie, pixels=pixels, boxes=boxes, own=own, opposite=opposite)


def aligned(compared: Compared, scales: MotionScales) -> MovieBoxes:
    """Return boxes about the places (p, f, 2) where the particles are found.

    Twice: how strong the predictions are in these frames at each resolution is seen only along tracks that are known.
    It is measured by predictions from the opposite half map, which shares no noise with the images.
    """
    movie, there = compared.movie, compared.boxes
    for known in (False, True):
        expected = compared.own
        if known:
            expected = expected * strength(compared, there)
        (images,), step = correlations(compared, there, expected, scaled=not known)
        to_steps = movie.motion.pixel_size / step
        offset = (there.places - compared.boxes.places) * to_steps
        moved = fit_tracks(images, offset, prior_of(movie, scales, step), offset)
        there = replace(there, places=compared.boxes.places + moved / to_steps)
    return there


def prior_of(movie: MovieParticles, scales: MotionScales, step: float) -> MotionPrior:
    """Return the prior of a movie's particles in steps of so many Å."""
    return motion_prior(movie.places * movie.motion.pixel_size, scales.per_frame(movie.motion.dose / step))


def strength(compared: Compared, boxes: MovieBoxes) -> Array:
    """Return what predictions have to be multiplied by (pixels,) float32 to be those of the frames along tracks."""
    sums, shell = _sums(compared, boxes, compared.damage), compared.shell
    pixels = np.bincount(shell, minlength=sums["cross"].shape[1])
    found = fit_strength(sums["cross"].sum(0), sums["frame_power"].sum(0), sums["predicted_power"].sum(0), pixels)
    return namespace(compared.own).asarray(found[shell].astype(np.float32))


def correlations(compared: Compared, boxes: MovieBoxes, expected: Array, *, scaled: bool, reach: float = REACH,
                 parts: Sequence[np.ndarray] = ()) -> tuple[list[np.ndarray], float]:
    """Return log-likelihoods (p, f, size, size) of displacements about the boxes' centres, and Å per pixel.

    2 Re Σ frame · conj(s prediction) / noise power over a half plane, for all displacements at once; s is 1 or, to be
    `scaled`, the strength of the predictions in these frames, by regression over all of them. With `parts`, masks of
    (pixels,), an array for each of them.
    """
    band, length = compared.pixels.band, compared.pixels.length
    xp = namespace(expected)
    finest = int(np.ceil(np.hypot(band.kx, band.ky).max()))
    size = scipy.fft.next_fast_len(4 * finest + 2, real=True)
    size += size % 2
    step = length / size
    far = min(int(np.ceil(reach / step)), size // 2)
    masks = parts or [np.ones(len(band.kx), bool)]
    bands = [Band(band.box, band.kx[mask], band.ky[mask], band.shell[mask]) for mask in masks]
    places = [xp.asarray(np.flatnonzero(mask)) for mask in masks]
    result = [np.empty((len(expected), len(boxes.raw), 2 * far, 2 * far), np.float32) for _ in masks]
    cross = power = 0.0
    for number, (frame, left) in enumerate(zip(boxes.transforms(band), compared.damage, strict=True)):
        noise = _noise(frame, band)
        mine = expected * xp.asarray(left)
        product = frame * xp.conj(mine) / noise
        cross += float(product.real.sum())
        power += float((xp.abs(mine) ** 2 / noise).sum())
        for images, part, chosen in zip(result, bands, places, strict=True):
            images[:, number] = to_numpy(near_origin(product[:, chosen], part, size, far))
    if scaled:
        for images in result:
            images *= np.float32(max(cross / power, 0.0))
    return result, step


def _noise(frame: Array, band: Band) -> Array:
    """Return the mean power (pixels,) of the particles' transforms in the shell of each pixel."""
    xp = namespace(frame)
    mean = to_numpy((xp.abs(frame) ** 2).mean(0))
    power, count = (np.bincount(band.shell, values) for values in (mean, np.ones(len(band.kx))))
    return xp.asarray((power / np.maximum(count, 1))[band.shell].astype(np.float32))


def _sums(compared: Compared, boxes: MovieBoxes, left: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Return the sums of `Motion`; of predictions times what is `left` (f, pixels) in each frame."""
    shell, shells, found = compared.shell, compared.pixels.references.box // 2 + 1, []
    xp = namespace(compared.opposite)
    for number, frame in enumerate(boxes.transforms(compared.pixels.band)):
        mine = compared.opposite if left is None else compared.opposite * xp.asarray(left[number])
        values = ((frame * xp.conj(mine)).real, xp.abs(frame) ** 2, xp.abs(mine) ** 2)
        found.append([np.bincount(shell, to_numpy(each.sum(0, dtype=np.float64)), shells) for each in values])
    cross, frame_power, predicted_power = np.swapaxes(np.array(found), 0, 1)
    return {"cross": cross, "frame_power": frame_power, "predicted_power": predicted_power}
