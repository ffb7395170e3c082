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


@dataclass(frozen=True)
class FrameFalloff:
    """Correlation of frames with predictions: amplitude (f,) · scale (shells,) · exp(−fall (f,) k²), k in shells."""

    amplitude: np.ndarray
    fall: np.ndarray
    scale: np.ndarray

    def weights_of(self, frames: int, shells: int) -> np.ndarray:
        """Return the weights (frames, shells) of the first frames of a movie, sum 1 in each shell."""
        squared, fall = np.arange(shells) ** 2, self.fall[:frames, None]
        # relative to the frame that falls least, so that no shell is 0 / 0
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
