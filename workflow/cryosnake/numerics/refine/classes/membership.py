"""Particles among the members of a class: evidence for each picture, in addition to the score of its class.

A class of particles also attracts other pictures: empty ice, whose noise was rotated and shifted until it resembled
the average, and picks beside a particle that were shifted onto it. Three properties identify them:

fit     the correlation with the average of those members that the picture is not among (so that its own noise does not
        count), compared with that of random-phase twins of the members after alignment, and with what the average's
        power predicts for a particle
shift   noise may end up anywhere, particles near where they were picked: 2D Gaussian against equal density in the mask
place   a pick whose centre lies off the particle that it was shifted onto belongs to a neighbour, or to nothing

Fit and shift make a likelihood ratio (Neyman & Pearson 1933, Phil. Trans. R. Soc. A 231, 289), all of whose widths are
medians over the particles themselves.
"""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.refine.classes.validation import correlation, cross_spectra
from cryosnake.numerics.refine.sums.reconstruction import radii

_PADDING = 2
_SIGMA = 1.4826  # standard deviation over median absolute deviation, of a Gaussian
_RAYLEIGH = 1.1774  # median over σ of the length of a 2D Gaussian
_LEAST_SPREAD = 0.5  # of a fit; that of white noise is 1
_LEAST_SHIFT = 0.05  # of the diameter: what shifts of well centred particles may be
_EDGE = 1.6  # extent over root mean square radius: 1.58 for a projected ball, 1.41 for a disc, 1.73 for a rod


def filtered_halves(halves: np.ndarray, shells: int) -> np.ndarray:
    """Return half averages (2, …) complex64 filtered by their agreement (Wiener filter), 0 beyond `shells`."""
    count = min(shells, halves.shape[2] // _PADDING) + 1
    curve = correlation(*(x[None] for x in cross_spectra(halves[0], halves[1], count)))[0]
    smooth = curve.copy()
    smooth[1:-1] = (curve[:-2] + 2.0 * curve[1:-1] + curve[2:]) / 4.0
    index = np.minimum(np.rint(radii(halves.shape[1:], _PADDING)).astype(np.int64), count)
    return (halves * np.append(np.clip(smooth, 0.0, 1.0), 0.0)[index]).astype(np.complex64)


def fits(images: np.ndarray, ctf2: np.ndarray, averages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the correlation (n,) of images with averages, in standard deviations of white noise, and what is expected.

    Parameters
    ----------
    images, ctf2 : (n, pixels)
        CTF times image, and squared CTF, over the noise power E|n|²; images moved to the averages' centre.
    averages : (n, pixels)
        Slices of the average with which each is compared, at the image's angle.

    Returns
    -------
    fit, expected : (n,)
        Re⟨x, A⟩ / √(½ ⟨A, A⟩) and 2 √(½ ⟨A, A⟩), which it is when the image holds the average and white noise.
    """
    cross = (images * averages.conj()).real.sum(1)
    spread = np.sqrt(0.5 * (np.abs(averages) ** 2 * ctf2).sum(1))
    return np.divide(cross, spread, out=np.zeros_like(cross), where=spread > 0), 2.0 * spread


def particle_radius(averages: np.ndarray, weights: np.ndarray) -> float:
    """Return the particle's extent from its centre, pixels, from the mean square radius of class averages.

    Parameters
    ----------
    averages : (classes, box, box)
        Masked; what is positive counts as mass.
    weights : (classes,)
        Particles of each class; 0 leaves it out.
    """
    axis = np.arange(averages.shape[1]) - averages.shape[1] // 2
    mass = np.maximum(averages, 0.0).astype(np.float64)
    total = mass.sum((1, 2))
    square = (mass * (axis[:, None] ** 2 + axis**2)).sum((1, 2)) / np.maximum(total, 1e-30)
    weights = weights * (total > 0)
    return float(_EDGE * np.sqrt((square * weights).sum() / max(weights.sum(), 1e-30)))


def membership(fit: np.ndarray, expected: np.ndarray, null: np.ndarray, shift: np.ndarray, trusted: np.ndarray,
               radius: float, diameter: float) -> np.ndarray:
    """Return the probability (n,) that each picture is a particle, even odds beforehand; 0 for those out of place.

    Parameters
    ----------
    fit, expected : (n,)
        See `fits`.
    null : (m,)
        Fits of twins, which are noise alone.
    shift : (n,)
        Lengths of the alignment's shifts, pixels.
    trusted : (n,) bool
        Members of classes that show particles: typical values are taken from these.
    radius, diameter : float
        Pixels: the particle's extent, and the mask's diameter.
    """
    if not trusted.any() or len(null) == 0:
        return np.ones(len(fit))
    noise, noise_spread = _centre_and_spread(null)
    promised = np.median(fit[trusted] / np.maximum(expected[trusted], 1e-30)) * expected
    _, spread = _centre_and_spread((fit - promised)[trusted])
    sigma = max(float(np.median(shift[trusted])) / _RAYLEIGH, _LEAST_SHIFT * diameter)
    as_noise = 0.5 * ((fit - noise) / noise_spread) ** 2 + np.log(noise_spread)
    # Neither a better fit than predicted nor a worse one than noise is evidence for the opposite.
    as_particle = -0.5 * (np.minimum(fit - promised, 0.0) / spread) ** 2 - np.log(spread)
    by_fit = np.where(fit > noise, as_noise, np.log(noise_spread)) + as_particle
    by_shift = np.log((0.5 * diameter) ** 2 / (2.0 * sigma**2)) - 0.5 * (shift / sigma) ** 2
    odds = np.exp(np.clip(by_fit + by_shift, -50.0, 50.0))
    return np.where(shift <= min(radius, 0.5 * diameter), odds / (1.0 + odds), 0.0)


def _centre_and_spread(values: np.ndarray) -> tuple[float, float]:
    """Return median and standard deviation, robust to a few outliers."""
    centre = float(np.median(values))
    return centre, max(_SIGMA * float(np.median(np.abs(values - centre))), _LEAST_SPREAD)
