"""Images and their predictions at the Fourier pixels of an optics group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.numerics.backend import Array, namespace
from cryosnake.numerics.projection import central_slices
from cryosnake.numerics.refine.grids.bands import Band, full_band
from cryosnake.numerics.refine.grids.images import fourier_pixels
from cryosnake.parallel.stacks import StackImages
from cryosnake.programs.ctfrefine.references import References
from cryosnake.programs.optics.groups import OpticsGroup

_NEAR = 0.25  # pixels of the reference's transform: half the distance over which a slope is taken


@dataclass(frozen=True, kw_only=True)
class GroupPixels:
    """The pixels of an optics group's images between two resolutions.

    Attributes
    ----------
    band : Band
    length : float
        Å, of the images.
    references : References
    """

    band: Band
    length: float
    references: References

    def seen(self, magnification: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return kx and ky (pixels,) float64 in 1/Å as the particle sees them."""
        kx, ky = (values.astype(np.float64) / self.length for values in (self.band.kx, self.band.ky))
        (xx, xy), (yx, yy) = magnification
        return xx * kx + xy * ky, yx * kx + yy * ky

    def images(self, stack: StackImages, places: np.ndarray, origins: np.ndarray, like: Array) -> Array:
        """Return transforms (n, pixels) complex64 of images centred by origins (n, 2), Å; on the device of `like`."""
        xp = namespace(like)
        found = xp.asarray(stack(places))
        pixel_size = self.length / self.band.box
        return fourier_pixels(found, self.band) * self.band.phases(origins / pixel_size, like=found)

    def predictions(self, half: int, matrices: np.ndarray, magnification: np.ndarray) -> Array:
        """Return slices (n, pixels) complex64 of half map 1 or 2, weighted by the FSC."""
        return self._slices(half, matrices, *self.places(magnification), magnification)

    def slopes(self, half: int, matrices: np.ndarray, magnification: np.ndarray) -> tuple[Array, Array]:
        """Return the derivatives of predictions by kx and ky of the particle, per pixel of the references."""
        kx, ky = self.places(magnification)
        found = []
        for x, y in ((_NEAR, 0.0), (0.0, _NEAR)):
            ahead, behind = (self._slices(half, matrices, kx + sign * x, ky + sign * y, magnification)
                             for sign in (1.0, -1.0))
            found.append((ahead - behind) / np.float32(2.0 * _NEAR))
        return found[0], found[1]

    def places(self, magnification: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return kx and ky (pixels,) of the particle, in pixels of the reference's transform."""
        kx, ky = self.seen(magnification)
        return kx * self.references.length, ky * self.references.length

    def weights(self, magnification: np.ndarray) -> np.ndarray:
        """Return the factors (pixels,) of predictions: the FSC."""
        fsc = self.references.fsc
        return np.interp(np.hypot(*self.places(magnification)), np.arange(len(fsc)), fsc)

    def _slices(self, half: int, matrices: np.ndarray, kx: np.ndarray, ky: np.ndarray, magnification: np.ndarray,
                ) -> Array:
        transform = self.references.transforms[half - 1]
        xp = namespace(transform)
        x, y = (xp.asarray(k.astype(np.float32)) for k in (kx, ky))
        real, imaginary = central_slices(transform, matrices, x, y)
        weight = self.weights(magnification) / self.band.box**2
        return (real + np.complex64(1j) * imaginary) * xp.asarray(weight.astype(np.float32))


def pixels_of(path: str, group: OpticsGroup, references: References, min_resolution: float) -> GroupPixels:
    """Return the pixels of a group from `min_resolution`, Å, to the limit of the references.

    Raises
    ------
    CryosnakeError
        when there are hardly any, or the group's images have been multiplied by their CTF
    """
    if group.premultiplied:
        raise CryosnakeError(f"{path}: its images have been multiplied by their CTF, and are needed as they "
                             "were recorded. Extract them again without premultiplication")
    length, most = group.box * group.pixel_size, float(np.linalg.norm(group.magnification, 2))
    finest = min(1.0 / references.limit, (references.radius - 1.0) / references.length) / max(most, 1.0) / 1.01
    band = full_band(group.box)
    radius = np.hypot(band.kx, band.ky) / length
    keep = (radius >= 1.0 / min_resolution) & (radius <= finest)
    if keep.sum() < 50:
        raise CryosnakeError(f"{path}: between min_resolution ({min_resolution:g} Å) and the resolution of the half "
                             f"maps ({references.limit:.2f} Å) there are {int(keep.sum())} Fourier pixels; too few to "
                             "refine a lens. Refine the particles better first, or raise min_resolution")
    return GroupPixels(band=Band(band.box, band.kx[keep], band.ky[keep], band.shell[keep]), length=length,
                       references=references)
