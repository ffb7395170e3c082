"""An amplitude spectrum as rings: its pixels, its background and its modulation by the CTF."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import BSpline

KNOT_SPACING = 0.04  # Å⁻¹: wide enough to leave Thon rings alone, narrow enough for the fall-off below 15 Å
CROSS = 1  # pixels: half-width of the central cross, with detector lines and gain errors
CLIP = 4.0  # standard deviations; a pixel above this is a spot (ice, lattice), not a Thon ring


@dataclass(frozen=True, kw_only=True)
class Rings:
    """Half the pixels of a centred spectrum between two frequencies, flattened: amplitude / background - 1.

    `step` is the ring width in Å⁻¹; ring r contains the frequencies around (first + r) × step.
    """

    value: np.ndarray  # (n,) float32
    frequency_squared: np.ndarray  # (n,) float32, Å⁻²
    cosine: np.ndarray  # (n,) float32, cos 2α of the azimuth α
    sine: np.ndarray  # (n,) float32, sin 2α
    ring: np.ndarray  # (n,) int32
    background: np.ndarray  # (rings,) float64, amplitudes
    first: int
    step: float
    size: int  # box of the spectrum in pixels

    @property
    def count(self) -> np.ndarray:
        """Number of pixels per ring, (rings,)."""
        return np.bincount(self.ring)

    @property
    def frequency(self) -> np.ndarray:
        """Centre frequency per ring in Å⁻¹, (rings,)."""
        return (self.first + np.arange(self.ring.max() + 1)) * self.step

    def mean(self) -> np.ndarray:
        """Rotational average per ring, (rings,)."""
        return np.bincount(self.ring, self.value) / self.count

    def up_to(self, frequency: float) -> Rings:
        """Return the rings below a frequency in Å⁻¹."""
        keep = self.ring <= int(np.floor(frequency / self.step)) - self.first
        return Rings(value=self.value[keep], frequency_squared=self.frequency_squared[keep], cosine=self.cosine[keep],
                     sine=self.sine[keep], ring=self.ring[keep], background=self.background[:self.ring[keep].max() + 1],
                     first=self.first, step=self.step, size=self.size)


def flatten_spectrum(
    spectrum: np.ndarray,  # (n, n) amplitudes, zero frequency at the centre [n // 2, n // 2]
    pixel_size: float,  # Å, Nyquist of the spectrum is at 1 / (2 pixel_size)
    resolution_low: float,  # Å
) -> Rings:
    """Return the rings of a spectrum from `resolution_low` to Nyquist, divided by a smooth background.

    The background is a cubic spline through the logarithm of the rotational average, which leaves the relative
    modulation by the Thon rings, with nearly the same noise at all frequencies. Slow oscillations that the spline
    follows are not lost: `Background` fits them together with the CTF.

    Raises
    ------
    ValueError
        if the spectrum is empty, not finite, or too small for `resolution_low`
    """
    if spectrum.ndim != 2 or spectrum.shape[0] != spectrum.shape[1]:
        raise ValueError(f"a power spectrum must be square, this one has shape {spectrum.shape}")
    if not np.isfinite(spectrum).all():
        raise ValueError("the power spectrum contains NaN or infinite values")
    size = spectrum.shape[0]
    centre, step = size // 2, 1.0 / (size * pixel_size)
    ky, kx = np.meshgrid(np.arange(centre, size) - centre, np.arange(size) - centre, indexing="ij")
    radius = np.hypot(kx, ky)
    ring = np.rint(radius).astype(np.int32)
    first = max(int(np.ceil(1.0 / (resolution_low * step))), CROSS + 2)
    keep = (ring >= first) & (ring < centre) & (ky > CROSS) & (abs(kx) > CROSS)
    if centre - first < 24:
        raise ValueError(f"a spectrum of {size} pixels of {pixel_size:.3f} Å has only {centre - first} rings above "
                         f"{resolution_low:g} Å; at least 24 are needed: use a larger box or a larger micrograph")
    amplitude, ring = spectrum[centre:][keep].astype(np.float64), ring[keep] - first
    kx, ky, radius = kx[keep], ky[keep], radius[keep]
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine, sine = (kx**2 - ky**2) / radius**2, 2.0 * kx * ky / radius**2
    background = _smooth_background(amplitude, ring, (first + np.arange(centre - first)) * step)
    flat = amplitude / background[ring] - 1.0
    return Rings(value=_clip(flat, ring), frequency_squared=((radius * step) ** 2).astype(np.float32),
                 cosine=cosine.astype(np.float32), sine=sine.astype(np.float32), ring=ring, background=background,
                 first=first, step=step, size=size)


def _smooth_background(amplitude: np.ndarray, ring: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    count = np.bincount(ring)
    profile = np.bincount(ring, amplitude) / count
    if not (profile > 0.0).all():
        raise ValueError("the power spectrum is empty (zero amplitude in whole rings): the image is blank or "
                         "was low-pass filtered")
    background = Background(frequency, count)
    return np.exp(background.fit(np.log(profile)))


def _clip(flat: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """Limit every pixel to CLIP standard deviations of its ring about the ring's mean."""
    count = np.bincount(ring)
    mean = np.bincount(ring, flat) / count
    # Half the squared difference of neighbours would be affected by the rings themselves; the mean absolute deviation
    # is 0.8 of the standard deviation for Gaussian noise and hardly affected by spots.
    deviation = np.bincount(ring, abs(flat - mean[ring])) / count / 0.8
    limit = CLIP * np.maximum(deviation, 1e-6)
    return np.clip(flat, (mean - limit)[ring], (mean + limit)[ring]).astype(np.float32)


class Background:
    """Cubic splines over the rings, orthonormal under the number of pixels per ring."""

    def __init__(self, frequency: np.ndarray, count: np.ndarray) -> None:
        low, high = frequency[0], frequency[-1]
        intervals = max(3, round((high - low) / KNOT_SPACING))
        inner = np.linspace(low, high, intervals + 1)
        knots = np.concatenate([[low] * 3, inner, [high] * 3])
        self.root = np.sqrt(count)
        self.basis, _ = np.linalg.qr(BSpline.design_matrix(frequency, knots, 3).toarray() * self.root[:, None])

    def fit(self, profile: np.ndarray) -> np.ndarray:
        """Return the smooth part of a profile (rings,), weighted by the pixels per ring."""
        return self.basis @ (self.basis.T @ (profile * self.root)) / self.root
