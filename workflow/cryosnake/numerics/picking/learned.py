"""A picker that is learned from positions of particles: ridge regression on features of each pixel's surroundings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cryosnake.numerics.backend import Array, is_gpu, namespace, product, to_device, to_numpy
from cryosnake.numerics.picking.background import WorkingImage, local_normalise, near
from cryosnake.numerics.picking.learned_features import ACROSS, feature_maps
from cryosnake.numerics.picking.peaks import find_peaks

_BUMP = 0.06  # particle diameters: s.d. of what the score is to be around each pick; sharp, so that centres are found
_REACH = 2.5  # pixels farther than this many s.d. from picks are examples of what is no particle
_MOST = 8000  # such pixels per micrograph
_RIDGE = 0.05  # penalty on the coefficients, per unit of the examples' weight
_NETWORKS, _UNITS = 4, 30  # random layers, each fitted by itself, and their units
# Places that score higher than this share of the picks and are none may be particles that were not picked: they are
# examples of neither. This far (diameters) from picks and around themselves.
_DOUBTFUL, _APART, _AROUND, _BETWEEN = 0.3, 0.36, 0.3, 2.0 / 3.0
_CENTRE = 0.99  # wanted score of the pixels in which particles lie
_AT_ONCE = 1 << 14  # pixels scored at a time


@dataclass(frozen=True, kw_only=True)
class LearnedPicker:
    """A learned picker; `pixel_size` and `diameter` (Å) are those at which features are computed.

    The score of a pixel is the mean of k networks of its n features, each a linear function of the features and of h
    units: positive parts of random linear functions.
    """

    pixel_size: float
    diameter: float
    mean: Array  # (n,) of the features over the examples
    spread: Array  # (n,)
    units: Array  # (k, n, h)
    offsets: Array  # (k, h)
    readout: Array  # (k, n + h + 1)

    def on(self, device: str) -> LearnedPicker:
        """Return the picker with its arrays on "cpu" or "gpu"."""
        arrays = {name: to_device(np.asarray(getattr(self, name)), device) for name in ARRAYS}
        return LearnedPicker(pixel_size=self.pixel_size, diameter=self.diameter, **arrays)

    def on_device_of(self, array: Array) -> LearnedPicker:
        """Return the picker with its arrays where this one is."""
        return self.on("gpu" if is_gpu(array) else "cpu")


ARRAYS = ("mean", "spread", "units", "offsets", "readout")


@dataclass(frozen=True)
class Example:
    """Features (n, h, w) of a micrograph and the places (m, 2) of particles on it, x and y in pixels of these.

    `doubtful` (h, w) bool are pixels that are no example of anything, None for none.
    """

    features: Array
    places: np.ndarray
    doubtful: np.ndarray | None = None


def working_pixel_size(diameter: float, pixel_size: float) -> float:
    """Return the pixel size (Å) at which a learned picker works, for a particle's diameter (Å)."""
    return max(pixel_size, diameter / ACROSS)


def features_of(working: WorkingImage, diameter: float) -> Array:
    """Return the features (n, h, w) of a micrograph whose particles (`diameter` in Å) are dark."""
    xp = namespace(working.image)
    across = diameter / working.pixel_size
    everywhere = xp.ones(working.image.shape, dtype=xp.bool_)
    return feature_maps(local_normalise(working.image, everywhere, across), across)


def learn(examples: Sequence[Example], pixel_size: float, diameter: float, seed: int) -> LearnedPicker:
    """Learn a picker from micrographs and the particles on them; the same seed gives the same picker.

    Method: networks with one layer of random units, of which only the readout is fitted, by ridge regression (Huang
    et al. 2006, Neurocomputing 70, 489-501; Hoerl and Kennard 1970, Technometrics 12, 55-67). The readout is fitted to
    a narrow bump around each particle. Particles as a whole weigh as much as all that is not one. It is fitted twice:
    what a first picker takes for particles beside the picks is left out of the examples of the second.
    """
    across = diameter / pixel_size
    first = _fitted(_drawn(examples, across, seed), pixel_size, diameter, seed)
    sure = [Example(example.features, example.places, _doubtful(first, example)) for example in examples]
    return _fitted(_drawn(sure, across, seed), pixel_size, diameter, seed)


def _fitted(drawn: _Drawn, pixel_size: float, diameter: float, seed: int) -> LearnedPicker:
    rng = np.random.default_rng([seed, 1])
    mean, spread = drawn.values.mean(0), drawn.values.std(0) + 1e-6
    values = (drawn.values - mean) / spread
    count = values.shape[1]
    units = rng.standard_normal((_NETWORKS, count, _UNITS), dtype=np.float32) / np.float32(np.sqrt(count))
    offsets = 0.5 * rng.standard_normal((_NETWORKS, _UNITS), dtype=np.float32)
    layers = zip(units, offsets, strict=True)
    readout = np.stack([_ridge(_layer(values, *layer), drawn.wanted, drawn.weights()) for layer in layers])
    return LearnedPicker(pixel_size=pixel_size, diameter=diameter, mean=mean, spread=spread, units=units,
                         offsets=offsets, readout=readout.astype(np.float32))


def _doubtful(picker: LearnedPicker, example: Example) -> np.ndarray:
    """Return the pixels (h, w) bool around what a picker takes for particles that were not picked."""
    from scipy.ndimage import maximum_filter

    across = picker.diameter / picker.pixel_size
    score = to_numpy(score_map(picker.on_device_of(example.features), example.features))
    rows, columns = _pixels(example, score.shape)
    usual = np.quantile(maximum_filter(score, 3)[rows, columns], _DOUBTFUL)
    _, heights, peaks = find_peaks(score, np.ones(score.shape, np.bool_), _BETWEEN * across)
    picked = np.zeros(score.shape, np.bool_)
    picked[rows, columns] = True
    apart = ~near(picked, _APART * across)[peaks[:, 0], peaks[:, 1]]
    found = np.zeros(score.shape, np.bool_)
    found[tuple(peaks[apart & (heights > usual)].T)] = True
    return near(found, _AROUND * across)


def separation(examples: Sequence[Example], pixel_size: float, diameter: float) -> float:
    """Return how often a particle scores higher than a place without one, learned from the other half of micrographs.

    1 where all do, 0.5 where the picks lie anywhere. The linear part of the picker tells that.
    """
    drawn = _drawn(examples, diameter / pixel_size, 0)
    values = (drawn.values - drawn.values.mean(0)) / (drawn.values.std(0) + 1e-6)
    drawn = drawn._replace(values=np.concatenate([values, np.ones((len(values), 1), np.float32)], axis=1))
    higher = []
    for half in (0, 1):
        learned_from, judged = drawn.taken(drawn.half != half), drawn.taken(drawn.half == half)
        if not learned_from.near.any() or judged.near.all():
            continue
        score = judged.values @ _ridge(learned_from.values, learned_from.wanted, learned_from.weights())
        elsewhere = np.sort(score[~judged.near])
        higher.append(np.searchsorted(elsewhere, score[judged.wanted > _CENTRE]) / len(elsewhere))
    return float(np.mean(np.concatenate(higher))) if higher else 1.0


def score_map(picker: LearnedPicker, features: Array) -> Array:
    """Return the score (h, w) float32 of each pixel of features (n, h, w): high on the centres of particles."""
    xp = namespace(features)
    flat = features.reshape(len(features), -1)
    scores = []
    for start in range(0, flat.shape[1], _AT_ONCE):
        values = (flat[:, start : start + _AT_ONCE].T - picker.mean) / picker.spread
        layers = zip(picker.units, picker.offsets, picker.readout, strict=True)
        scores.append(sum(product(_layer(values, units, offsets), readout[:, None])[:, 0]
                          for units, offsets, readout in layers) / xp.float32(len(picker.units)))
    return xp.concatenate(scores).reshape(features.shape[1:])


class _Drawn(NamedTuple):
    """Features (p, n) of pixels near particles and of others, the score wanted, whether near, and the half (0, 1)."""

    values: np.ndarray
    wanted: np.ndarray
    near: np.ndarray
    half: np.ndarray

    def weights(self) -> np.ndarray:
        return np.where(self.near, 0.5 / max(1, self.near.sum()), 0.5 / max(1, (~self.near).sum()))

    def taken(self, which: np.ndarray) -> _Drawn:
        return _Drawn(*(part[which] for part in self))


def _drawn(examples: Sequence[Example], diameter: float, seed: int) -> _Drawn:
    """Return all pixels near particles and some others, of particles `diameter` pixels wide."""
    rng = np.random.default_rng(seed)
    parts = [_drawn_of_one(example, diameter, rng) for example in examples]
    return _Drawn(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _drawn_of_one(example: Example, diameter: float, rng: np.random.Generator) -> _Drawn:
    from scipy.ndimage import distance_transform_edt

    shape = example.features.shape[1:]
    elsewhere = np.ones(shape, np.bool_)
    elsewhere[_pixels(example, shape)] = False
    distance = distance_transform_edt(elsewhere).reshape(-1) / (_BUMP * diameter)
    far = distance > _REACH
    if example.doubtful is not None:
        far &= ~example.doubtful.reshape(-1)
    pixels = np.concatenate([np.flatnonzero(distance <= _REACH),
                             np.sort(rng.permutation(np.flatnonzero(far))[:_MOST])])
    flat = example.features.reshape(len(example.features), -1)
    values = to_numpy(flat[:, namespace(flat).asarray(pixels)].T)
    wanted = np.exp(-0.5 * distance[pixels] ** 2).astype(np.float32)
    return _Drawn(values, wanted, distance[pixels] <= _REACH, (pixels % shape[1] >= shape[1] // 2).astype(np.int64))


def _pixels(example: Example, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns (m,) of the pixels in which the particles lie."""
    columns, rows = np.clip(np.rint(example.places).astype(int), 0, (shape[1] - 1, shape[0] - 1)).T
    return rows, columns


def _layer(values: Array, units: Array, offsets: Array) -> Array:
    """Return features, units and a constant (p, n + h + 1)."""
    xp = namespace(values)
    return xp.concatenate([values, xp.maximum(product(values, units) + offsets, xp.float32(0.0)),
                           xp.ones((len(values), 1), dtype=xp.float32)], axis=1)


def _ridge(values: np.ndarray, wanted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    weighted = values * weight[:, None]
    return np.linalg.solve(weighted.T @ values + _RIDGE * np.eye(values.shape[1]), weighted.T @ wanted)
