"""Predicted images of what a mask does not keep, taken from the images as they are on disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.numerics.backend import Array, namespace, to_device, to_numpy
from cryosnake.numerics.projection import band_limited_transform, central_slices
from cryosnake.numerics.refine.grids.bands import Band, full_band
from cryosnake.numerics.refine.grids.images import ctf_at, images_of_pixels
from cryosnake.parallel.stacks import StackImages
from cryosnake.programs.maps.detector_mtf import detector_mtf
from cryosnake.programs.optics.groups import OpticsGroup
from cryosnake.programs.refinement.particle_checks import refuse_blank
from cryosnake.programs.refinement.particles import ParticleSet
from cryosnake.programs.subtract.references import References

_MTF, _MOVIE_PIXEL, _NONE, _SAMPLES = "rlnMtfFileName", "rlnMicrographOriginalPixelSize", ("", "None", "nan"), 500
ROOM = 2  # boxes: what the CTF spreads beyond the box must not come back in on the other side


@dataclass(frozen=True, kw_only=True)
class Subtrahend:
    """What is taken from each particle.

    Attributes
    ----------
    transforms : tuple of tuple of complex64 arrays
        For `central_slices`, of the maps outside the mask; by half set (or one for both) and class.
    references : References
    particles : ParticleSet
    source, class_of : (n,) int64
        Which of `transforms` predicts each particle.
    scale : (n,) float64
        Of the prediction: that of its micrograph.
    norm : (n,) float64
        By which its image is multiplied.
    mtf : tuple of ((m,), (m,)) or None, by optics group
        Frequencies, 1/Å, and the detector's MTF there, by which predictions are multiplied.
    """

    transforms: tuple[tuple[Array, ...], ...]
    references: References
    particles: ParticleSet
    source: np.ndarray
    class_of: np.ndarray
    scale: np.ndarray
    norm: np.ndarray
    mtf: tuple[tuple[np.ndarray, np.ndarray] | None, ...] = ()

    def predictions(self, group: OpticsGroup, rows: np.ndarray) -> Array:
        """Return the predicted images (n, box, box) float32 of some rows of one group."""
        size = ROOM * group.box
        band, edge = full_band(size), (size - group.box) // 2
        seen, length = _seen(band, group), size * group.pixel_size
        like = self.transforms[0][0]
        result = self._slices(group, rows, seen)
        result *= self._transfer(group, rows, seen)
        xp, mtf = namespace(like), self.mtf[self.particles.optics[rows[0]]] if self.mtf else None
        if mtf is not None:
            result *= xp.asarray(np.interp(np.hypot(band.kx, band.ky) / length, *mtf).astype(np.float32))
        if group.turned:
            phase = group.odd_phase(*(xp.asarray(k, xp.float64) / length for k in (seen.kx, seen.ky)))
            result *= xp.exp(1j * phase).astype(xp.complex64)
        result *= band.phases(-self._origins(rows) / group.pixel_size, like=like)
        return images_of_pixels(result, band)[:, edge : edge + group.box, edge : edge + group.box]

    def _origins(self, rows: np.ndarray) -> np.ndarray:
        return np.stack([self.particles.column(f"rlnOrigin{axis}Angst")[rows] for axis in "XY"], 1)

    def _slices(self, group: OpticsGroup, rows: np.ndarray, seen: Band) -> Array:
        """Return slices (n, pixels) complex64; 0 beyond the maps' Nyquist frequency."""
        xp, references = namespace(self.transforms[0][0]), self.references
        step = references.box * references.pixel_size / (seen.box * group.pixel_size)
        kx, ky = seen.kx * np.float32(step), seen.ky * np.float32(step)
        inside = np.hypot(kx, ky) <= references.box // 2
        kx, ky = (xp.asarray(np.where(inside, k, 0.0).astype(np.float32)) for k in (kx, ky))
        # images of another pixel size or magnification keep the power of their noise, as when they are refined
        factor = xp.asarray(inside * np.float32(np.sqrt(np.linalg.det(group.place(references.pixel_size)))))
        result = xp.empty((len(rows), len(seen.kx)), xp.complex64)
        poses, which = self.particles.poses()[rows], np.stack([self.source[rows], self.class_of[rows]], 1)
        for source, number in np.unique(which, axis=0).tolist():
            mine = np.flatnonzero((which == (source, number)).all(1))
            real, imaginary = central_slices(self.transforms[source][number], poses[mine], kx, ky)
            result[xp.asarray(mine)] = (real + np.complex64(1j) * imaginary) * factor
        result *= xp.asarray(self.scale[rows, None].astype(np.float32))
        return result

    def _transfer(self, group: OpticsGroup, rows: np.ndarray, seen: Band) -> Array:
        """Return CTFs (n, pixels), squared for images that were multiplied by them; 1 where none were applied."""
        like = self.transforms[0][0]
        if not self.references.ctf:
            return namespace(like).ones((len(rows), 1), np.float32)
        assert group.microscope is not None
        ctf = ctf_at(seen, self.particles.defoci(rows), group.pixel_size, group.microscope, even=group.even, like=like,
                     intact_first_peak=self.references.intact_first_peak)
        return ctf * ctf if group.premultiplied else ctf


def subtrahend(particles: ParticleSet, references: References, mask: np.ndarray, device: str) -> Subtrahend:
    """Return what is taken from particles: all but what the mask (box, box, box) keeps; computed on a device."""
    outside = (1.0 - mask).astype(np.float32)
    radius = references.box // 2
    transforms = tuple(tuple(band_limited_transform(to_device(volume * outside, device), radius) for volume in maps)
                       for maps in references.maps)
    halves = particles.column("rlnRandomSubset").astype(np.int64)
    source = halves - 1 if references.split else np.zeros(len(particles), np.int64)
    classes = np.maximum(particles.column("rlnClassNumber", 1.0).astype(np.int64), 1) - 1
    names = [particles.group_names[number] for number in particles.group.tolist()]
    scale = np.array([references.scales[half].get(name, 1.0) for half, name in zip(source, names, strict=True)])
    norm = np.asarray(references.norms)[source] / particles.column("rlnNormCorrection", 1.0)
    return Subtrahend(transforms=transforms, references=references, particles=particles, source=source,
                      class_of=classes if references.classes > 1 else np.zeros_like(classes), scale=scale, norm=norm,
                      mtf=_detectors(particles) if references.mtf_divided else ())


def _detectors(particles: ParticleSet) -> tuple[tuple[np.ndarray, np.ndarray] | None, ...]:
    """Return the MTF of each optics group as in `Subtrahend`.

    Raises
    ------
    CryosnakeError
        when a group that names an MTF lacks the movies' pixel size, or its file cannot be used
    """
    found: list[tuple[np.ndarray, np.ndarray] | None] = []
    for (_, row), group in zip(particles.tables["optics"].iterrows(), particles.groups, strict=True):
        path = str(row.get(_MTF, "")).strip('"')
        if path in _NONE:
            found.append(None)
            continue
        if not float(row.get(_MOVIE_PIXEL, 0.0)) > 0:
            raise CryosnakeError(f"{particles.path}: data_optics names an MTF ({path}), but no pixel size of the "
                                 f"movies ({_MOVIE_PIXEL}). Add the column, or remove {_MTF}")
        frequency = np.linspace(0.0, 0.75 / group.pixel_size, _SAMPLES)  # to the corners of the transform
        mtf = detector_mtf(path, frequency, group.pixel_size, float(row[_MOVIE_PIXEL]))
        assert mtf is not None
        found.append((frequency, mtf))
    return tuple(found)


def subtracted(taken: Subtrahend, group: int, rows: np.ndarray, block_size: int,
               ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows of a group, `block_size` at a time, and their images (n, box, box) without what is taken from them."""
    particles, optics = taken.particles, taken.particles.groups[group]
    names = particles.table["rlnImageName"].iloc[rows].astype(str).tolist()
    stack = StackImages(particles.path, names, optics.box, refuse_blank)
    for begin in range(0, len(rows), block_size):
        block = np.arange(begin, min(begin + block_size, len(rows)))
        images = stack(block) * taken.norm[rows[block], None, None].astype(np.float32)
        yield rows[block], images - to_numpy(taken.predictions(optics, rows[block]))


def _seen(band: Band, group: OpticsGroup) -> Band:
    """Return the pixels of a band where the particle sees them: magnified."""
    if not group.distorted:
        return band
    (xx, xy), (yx, yy) = group.magnification.astype(np.float32)
    return Band(band.box, xx * band.kx + xy * band.ky, yx * band.kx + yy * band.ky, band.shell)
