"""Template matching: projections or class averages, times the CTF, by fast local correlation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft
from scipy.ndimage import map_coordinates, spline_filter

from cryosnake.numerics.backend import Array, fft_of, namespace
from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.numerics.healpix import angular_step, directions, pixel_angles
from cryosnake.numerics.picking.background import reflect
from cryosnake.numerics.projection import central_slices, padded_transform
from cryosnake.numerics.symmetry import asymmetric_unit

AT_ONCE = 16  # templates per batch of FFTs
_EDGE = 0.25  # width of the low-pass filter's raised cosine, as a fraction of its frequency


@dataclass(frozen=True, kw_only=True)
class TemplateBank:
    """Rotated, low-pass filtered templates as half transforms (n, box, box // 2 + 1) complex64, origin in the corner.

    `pixel_size` in Å, `diameter` of the particle in pixels; `classes` (n,) number the unrotated templates from 1, `psi`
    (n,) in degrees. Protein is positive.
    """

    transforms: Array
    classes: np.ndarray
    psi: np.ndarray
    pixel_size: float
    diameter: float


@dataclass(frozen=True, kw_only=True)
class TemplateSettings:
    """Properties of the templates to make: pixel size, particle diameter, low-pass (all Å), step of psi (degrees)."""

    pixel_size: float
    diameter: float
    lowpass: float
    psi_step: float


def template_box(diameter: float, pixel_size: float) -> int:
    """Return the box in pixels for a particle and the fringes that the CTF moves into and out of it."""
    return 2 * math.ceil(1.1 * diameter / pixel_size)


def project_templates(
    volume: np.ndarray,  # (box, box, box), protein positive
    volume_pixel_size: float,  # Å
    settings: TemplateSettings,
    step: float,  # degrees between directions
    symmetry: str = "C1",
) -> TemplateBank:
    """Project a map in the directions of a HEALPix grid, at least as fine as `step`, over one asymmetric unit."""
    order = next((order for order in range(6) if angular_step(order) <= 1.01 * step), 6)
    rot, tilt = pixel_angles(order)
    mine = asymmetric_unit(directions(rot, tilt), symmetry)
    rot, tilt, psi = rot[mine], tilt[mine], _psi_angles(settings.psi_step)
    pixel_size, diameter = settings.pixel_size, settings.diameter
    box = template_box(diameter, pixel_size)
    kx, ky, weight = _band(box, pixel_size, settings.lowpass)
    scale = volume.shape[0] * volume_pixel_size / (box * pixel_size)
    # Slices of the map extend to one pixel below its own Nyquist frequency.
    inside = (weight > 0) & (np.hypot(kx, ky) * scale < volume.shape[0] // 2 - 1)
    matrices = euler_to_matrix(np.repeat(rot, len(psi)), np.repeat(tilt, len(psi)), np.tile(psi, len(rot)))
    real, imaginary = central_slices(padded_transform(volume), matrices, (kx[inside] * scale).astype(np.float32),
                                     (ky[inside] * scale).astype(np.float32))
    transforms = np.zeros((len(matrices), *weight.shape), np.complex64)
    transforms[:, inside] = (real + 1j * imaginary) * weight[inside]
    return TemplateBank(transforms=transforms, classes=np.repeat(np.arange(1, len(rot) + 1), len(psi)),
                        psi=np.tile(psi, len(rot)), pixel_size=pixel_size, diameter=diameter / pixel_size)


def rotate_templates(
    images: np.ndarray,  # (n, box, box), protein positive
    images_pixel_size: float,  # Å
    settings: TemplateSettings,
) -> TemplateBank:
    """Rotate class averages about pixel box // 2 by every psi and sample them at another pixel size."""
    psi = _psi_angles(settings.psi_step)
    pixel_size, diameter = settings.pixel_size, settings.diameter
    box = template_box(diameter, pixel_size)
    centre, half = images.shape[1] // 2, box // 2
    y, x = (np.mgrid[:box, :box] - half) * (pixel_size / images_pixel_size)
    cosine, sine = np.cos(np.radians(psi))[:, None, None], np.sin(np.radians(psi))[:, None, None]
    # RELION's psi: pixel (x, y) of the rotated image shows the reference at x · A[0] + y · A[1].
    coordinates = np.stack([sine * x + cosine * y + centre, cosine * x - sine * y + centre])
    rotated = np.stack([
        map_coordinates(spline_filter(low, 3), coordinates, order=3, prefilter=False, mode="grid-constant", cval=0.0)
        for low in _low_passed(images, images_pixel_size, settings.lowpass)])  # (n, psi, box, box)
    transforms = scipy.fft.rfft2(scipy.fft.ifftshift(rotated.reshape(-1, box, box), axes=(1, 2)).astype(np.float32))
    transforms *= _band(box, pixel_size, settings.lowpass)[2]
    return TemplateBank(transforms=transforms.astype(np.complex64),
                        classes=np.repeat(np.arange(1, len(images) + 1), len(psi)), psi=np.tile(psi, len(images)),
                        pixel_size=pixel_size, diameter=diameter / pixel_size)


def _psi_angles(step: float) -> np.ndarray:
    return np.arange(max(1, round(360.0 / step))) * (360.0 / max(1, round(360.0 / step)))


def _band(box: int, pixel_size: float, lowpass: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return kx, ky in Fourier pixels (box, box // 2 + 1) and the low-pass filter there; the origin is left out."""
    ky, kx = np.meshgrid(np.fft.fftfreq(box, 1.0 / box), np.arange(box // 2 + 1.0), indexing="ij")
    frequency = np.hypot(kx, ky) / (box * pixel_size)
    weight = _edge(frequency, lowpass)
    weight[0, 0] = 0.0
    return kx, ky, weight.astype(np.float32)


def _edge(frequency: np.ndarray, lowpass: float) -> np.ndarray:
    """Return a raised-cosine low-pass filter that reaches 0 at 1 / `lowpass`."""
    position = np.clip((frequency * lowpass - 1.0 + _EDGE) / _EDGE, 0.0, 1.0)
    return 0.5 + 0.5 * np.cos(np.pi * position)


def _low_passed(images: np.ndarray, pixel_size: float, lowpass: float) -> np.ndarray:
    box = images.shape[1]
    frequency = np.hypot(np.fft.fftfreq(box, pixel_size)[:, None], np.fft.rfftfreq(box, pixel_size)[None])
    return np.asarray(scipy.fft.irfft2(scipy.fft.rfft2(images) * _edge(frequency, lowpass), s=(box, box)))


def correlate(
    image: Array,  # (h, w), normalised
    bank: TemplateBank,
    ctf: Array | None,  # (box, box // 2 + 1), or None
) -> tuple[Array, Array]:
    """Return the highest correlation coefficient (h, w) float32 over all templates, and which one gave it (h, w).

    Method: fast local correlation (Roseman 2003, Ultramicroscopy 94, 225-236): templates are cut to the particle's
    disc, with mean 0 and variance 1 there, and the image is divided by its own standard deviation in the disc. Both
    numerator and local variance are convolutions by FFT. Positive where the image resembles the template.
    """
    xp, fft = namespace(image), fft_of(image)
    disc = xp.asarray(_disc(bank.diameter))
    reach, pixels = disc.shape[0] // 2, float(disc.sum())
    margin = min(reach + 1, min(image.shape) - 1)
    padded, shape = reflect(image, margin)
    rows = slice(margin - reach, margin - reach + image.shape[0])
    columns = slice(margin - reach, margin - reach + image.shape[1])
    spectrum = fft.rfft2(padded)
    disc_spectrum = xp.conj(fft.rfft2(disc, s=shape))
    mean = fft.irfft2(spectrum * disc_spectrum, s=shape)[rows, columns] / pixels
    square = fft.irfft2(fft.rfft2(padded * padded) * disc_spectrum, s=shape)[rows, columns] / pixels
    deviation = xp.sqrt(xp.maximum(square - mean * mean, 0.0))
    # Where the image was filled in there is no contrast, hence no correlation.
    deviation = xp.maximum(deviation, 0.3 * xp.median(deviation) + 1e-12)
    highest = xp.full(image.shape, -xp.inf, dtype=xp.float32)
    best = xp.zeros(image.shape, dtype=xp.int32)
    for start in range(0, len(bank.classes), AT_ONCE):
        patches = _patches(bank.transforms[start : start + AT_ONCE], ctf, disc)
        products = fft.irfft2(spectrum * xp.conj(fft.rfft2(patches, s=shape)), s=shape)[:, rows, columns]
        for index, product in enumerate(products, start):
            better = product > highest
            highest = xp.where(better, product, highest)
            best = xp.where(better, xp.int32(index), best)
    return highest / (deviation * pixels), best


def _disc(diameter: float) -> np.ndarray:
    reach = math.ceil(0.5 * diameter)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return (np.hypot(y, x) <= 0.5 * diameter).astype(np.float32)


def _patches(transforms: Array, ctf: Array | None, disc: Array) -> Array:
    """Return templates (n, d, d) cut to the disc, with mean 0 and variance 1 on it."""
    xp, fft = namespace(transforms), fft_of(transforms)
    box = transforms.shape[1]
    images = fft.irfft2(transforms if ctf is None else transforms * ctf, s=(box, box))
    images = xp.roll(images, (box // 2, box // 2), axis=(1, 2))
    start = box // 2 - disc.shape[0] // 2
    patches = images[:, start : start + disc.shape[0], start : start + disc.shape[0]] * disc
    pixels = float(disc.sum())
    patches = (patches - (patches.sum((1, 2)) / pixels)[:, None, None]) * disc
    power = xp.sqrt((patches * patches).sum((1, 2)) / pixels)
    return (patches / xp.maximum(power, 1e-12)[:, None, None]).astype(xp.float32)


def ctf_grid(box: int, pixel_size: float, like: Array) -> tuple[Array, Array]:
    """Return k² (Å⁻²) and azimuth (radians) (box, box // 2 + 1) of a template transform, on the device of `like`."""
    xp = namespace(like)
    ky, kx = xp.fft.fftfreq(box, pixel_size)[:, None], xp.fft.rfftfreq(box, pixel_size)[None]
    return kx * kx + ky * ky, xp.arctan2(ky, kx + 0.0 * ky)
