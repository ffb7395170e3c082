"""How much each frame counts at each frequency, from its correlation with predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_ROUNDS = 5
_FALLS = np.linspace(0.0, 1.0, 201)


def damage_weights(frequency: np.ndarray, frames: np.ndarray, dose_per_frame: float) -> np.ndarray:
    """Return how much signal is left (f, …) at frequencies (…) in 1/Å in frames (f,) counted from 0.

    exp(−dose / τ), τ = 3.40 k^−1.06 − 0.54 e/Å² (Zivanov, Nakane & Scheres 2019, IUCrJ 6, after Grant & Grigorieff
    2015, eLife 4).
    """
    k = np.maximum(np.asarray(frequency, np.float64), 1e-6)
    tau = np.maximum(3.40 * k**-1.06 - 0.54, 1e-3)
    dose = np.asarray(frames, np.float64) * dose_per_frame
    return np.exp(-dose.reshape(-1, *(1,) * k.ndim) / tau)


def fit_strength(cross: np.ndarray, image_power: np.ndarray, predicted_power: np.ndarray, pixels: np.ndarray,
                 ) -> np.ndarray:
    """Return by what predictions have to be multiplied (shells,) to be those of images: a exp(−b k²), k in shells.

    Least squares over the shells, each weighted by the noise of its regression. Half maps that were sharpened, or
    deposited, fall less than images do; those of a reconstruction fall as they do. Ones where nothing correlates.

    Parameters
    ----------
    cross, image_power, predicted_power : (shells,)
        Sums of Re(image · conj(prediction)), |image|², |prediction|².
    pixels : (shells,)
        Number of pixels in each shell.
    """
    used = (image_power > 0) & (predicted_power > 0)
    squared = np.arange(len(cross)) ** 2
    if not used.any():
        return np.ones(len(cross))
    power = predicted_power[used]
    weight = pixels[used] / (image_power[used] * power)
    falls = np.linspace(-2.0, 8.0, 501) / squared[used][-1]
    model = np.exp(-falls[:, None] * squared[used]) * power
    amplitude = np.maximum(model @ (weight * cross[used]), 0.0) / (model**2 @ weight)
    explained = amplitude**2 * (model**2 @ weight)
    best = int(np.argmax(explained))
    if not amplitude[best] > 0:
        return np.ones(len(cross))
    return np.asarray(amplitude[best] * np.exp(-falls[best] * squared))


@dataclass(frozen=True)
class FrameFalloff:
    """Correlation of frames with predictions: amplitude (f,) · scale (shells,) · exp(−fall (f,) k²), k in shells."""

    amplitude: np.ndarray
    fall: np.ndarray
    scale: np.ndarray

    def weights_of(self, frames: int, k: np.ndarray) -> np.ndarray:
        """Return the weights (frames, n) of the first frames of a movie at k (n,) in shells, sum 1 at each."""
        squared, fall = k**2, self.fall[:frames, None]
        # relative to the frame that falls least, so that nothing is 0 / 0
        raw = self.amplitude[:frames, None] * np.exp(-(fall - fall.min()) * squared)
        return np.asarray(raw / raw.sum(0))

    def b_factors(self, length: float) -> np.ndarray:
        """Return the B-factors (f,) in Å², negative; `length` is that of the box, Å."""
        return -4.0 * self.fall * length**2


def fit_falloff(fcc: np.ndarray, first: int, last: int) -> FrameFalloff:
    """Fit the correlations (f, shells) of all frames between two shells, `last` included.

    By turns, five times: amplitude and fall of each frame, then the scale of each shell (Zivanov, Nakane &
    Scheres 2019, IUCrJ 6, 5-17). A shell counts as its number of pixels.

    Raises
    ------
    ValueError
        when no frame correlates with its predictions
    """
    shells = np.arange(first, last + 1)
    data, squared, pixels = np.nan_to_num(fcc[:, first : last + 1]), shells.astype(float) ** 2, shells.astype(float)
    if not data.sum() > 0:
        raise ValueError("no frame correlates with its predictions")
    scale = np.maximum(data[int((data * pixels).sum(1).argmax())], 1e-6)
    falls = _FALLS * 8.0 / squared[-1]
    shapes = np.exp(-falls[:, None] * squared)  # (falls, shells)
    for _ in range(_ROUNDS):
        model = shapes * scale
        cross, power = (data * pixels) @ model.T, (model**2) @ pixels
        amplitude = np.maximum(cross, 0.0) / power
        best = np.argmax(2.0 * amplitude * cross - amplitude**2 * power, axis=1)
        rows = np.arange(len(data))
        amplitude, fall = amplitude[rows, best], falls[best]
        shape = amplitude[:, None] * shapes[best]
        scale = np.maximum((data * shape).sum(0) / np.maximum((shape**2).sum(0), 1e-30), 1e-6)
    full = np.ones(fcc.shape[1])
    full[first : last + 1] = scale
    most = amplitude.max()
    return FrameFalloff(np.maximum(amplitude / most, 1e-3), fall, full * most)
