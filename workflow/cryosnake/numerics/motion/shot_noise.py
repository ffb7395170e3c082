"""What the noise of a movie's frames says: whether they count electrons, how many, and the sign of the contrast.

Electrons arrive independently, so where more of them arrive the frames differ more. If they are counted, variance and
mean are the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BLOCK = 16  # pixels
_POISSON = (0.7, 1.3)  # variance by mean of counted electrons; a little below 1 where some coincide
_INVERTED = -0.2  # correlation of variance and mean
_CLIP = 4.0


@dataclass(frozen=True)
class ShotNoise:
    """`counts`: electrons per pixel and frame, None where frames do not count; `correlation` of variance and mean."""

    counts: float | None
    correlation: float

    @property
    def is_inverted(self) -> bool:
        """Whether dark places are noisier than bright ones."""
        return self.correlation < _INVERTED


def shot_noise(frames: np.ndarray) -> ShotNoise:
    """Return the statistics of raw frames (f, ny, nx), not multiplied by a gain; at least two."""
    mean, variance = np.zeros(frames.shape[1:], np.float32), np.zeros(frames.shape[1:], np.float32)
    before = frames[0].astype(np.float32)
    mean += before
    for raw in frames[1:]:
        frame = raw.astype(np.float32)
        mean += frame
        variance += (frame - before) ** 2
        before = frame
    means, variances = _blocks(mean / len(frames)), _blocks(variance / (2 * (len(frames) - 1)))
    level, spread = float(np.median(means)), float(np.median(variances))
    whole = np.issubdtype(frames.dtype, np.integer) or not (frames[0] % 1).any()
    counts = level if whole and level > 0 and _POISSON[0] < spread / level < _POISSON[1] else None
    one, other = _clipped(means), _clipped(variances)
    power = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return ShotNoise(counts, float((one * other).sum()) / power if power else 0.0)


def _blocks(image: np.ndarray) -> np.ndarray:
    ny, nx = (size // _BLOCK for size in image.shape)
    return image[: ny * _BLOCK, : nx * _BLOCK].reshape(ny, _BLOCK, nx, _BLOCK).mean((1, 3)).ravel()


def _clipped(values: np.ndarray) -> np.ndarray:
    values = values - np.median(values)
    limit = _CLIP * 1.4826 * np.median(np.abs(values))
    values = np.clip(values, -limit, limit)
    return values - values.mean()
