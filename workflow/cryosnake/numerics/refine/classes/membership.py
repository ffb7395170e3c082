"""Particles among the members of a class: evidence for each picture, in addition to the score of its class.

A class of particles also attracts other pictures: empty ice, whose noise was rotated and shifted until it resembled
the average, picks beside a particle that were shifted onto it, and broken particles. Four properties identify them:

fit     the correlation with the average of those members that the picture is not among (so that its own noise does not
        count), compared with that of random-phase twins of the members after alignment, and with what the average's
        power predicts for a particle; of waves shorter than half the diameter, because any lump fits the longer ones
shift   noise may end up anywhere, particles near where they were picked: 2D Gaussian against equal density in the mask
place   a pick whose centre lies off the particle that it was shifted onto belongs to a neighbour, or to nothing
extent  averages of what is not alike spread over the mask: their members must show more of their own

Fit and shift make a likelihood ratio (Neyman & Pearson 1933, Phil. Trans. R. Soc. A 231, 289), all of whose widths are
medians over the particles themselves; the extent of its class gives the odds beforehand.
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
_BY_EXTENT, _LEAST_ODDS = 12.0, 1.0 / 9.0  # power of the relative extent; at worst, so that a rare side view stays


def filtered_halves(halves: np.ndarray, shells: int, first: int = 0) -> np.ndarray:
    """Return half averages (2, …) complex64 filtered by their agreement (Wiener filter), 0 outside first … `shells`."""
    count = min(shells, halves.shape[2] // _PADDING) + 1
    curve = correlation(*(x[None] for x in cross_spectra(halves[0], halves[1], count)))[0]
    smooth = curve.copy()
    smooth[1:-1] = (curve[:-2] + 2.0 * curve[1:-1] + curve[2:]) / 4.0
    smooth[:first] = 0.0
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


def extents(averages: np.ndarray) -> np.ndarray:
    """Return how far class averages reach from their centres of mass, pixels (classes,), by mean square radii.

    Parameters
    ----------
    averages : (classes, box, box)
        Masked; what is positive counts as mass. 0 for those without any.
    """
    axis = np.arange(averages.shape[1]) - averages.shape[1] // 2
    mass = np.maximum(averages, 0.0).astype(np.float64)
    mass /= np.maximum(mass.sum((1, 2)), 1e-30)[:, None, None]
    rows, columns = mass.sum(2), mass.sum(1)
    square = (rows + columns) @ axis**2 - (rows @ axis) ** 2 - (columns @ axis) ** 2
    return np.asarray(_EDGE * np.sqrt(np.maximum(square, 0.0)))


def particle_radius(averages: np.ndarray, weights: np.ndarray) -> float:
    """Return the particle's extent from its centre, pixels: the root mean square of `extents` of class averages.

    Parameters
    ----------
    averages : (classes, box, box)
        Masked.
    weights : (classes,)
        Particles of each class; 0 leaves it out, as do averages without mass.
    """
    extent = extents(averages)
    weights = weights * (extent > 0)
    return float(np.sqrt((extent**2 * weights).sum() / max(weights.sum(), 1e-30)))


def given_extent(probability: np.ndarray, relative: np.ndarray) -> np.ndarray:
    """Return the probability (n,) of being a particle, given the relative extent (n,) of the pictures' classes.

    `probability` is that at even odds; the extent is relative to that of most particles' classes, see `ranking.rank`.
    """
    odds = np.maximum(np.maximum(relative, 0.5) ** -_BY_EXTENT, _LEAST_ODDS)
    return probability * odds / (probability * odds + 1.0 - probability)


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
