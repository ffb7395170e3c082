"""A picker that is learned from positions of particles: ridge regression on features of each pixel's surroundings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cryosnake.numerics.backend import Array, namespace, product, to_device, to_numpy
from cryosnake.numerics.picking.background import WorkingImage, local_normalise
from cryosnake.numerics.picking.learned_features import ACROSS, feature_maps

_BUMP = 0.06  # particle diameters: s.d. of what the score is to be around each pick; sharp, so that centres are found
_REACH = 2.5  # pixels farther than this many s.d. from picks are examples of what is no particle
_MOST = 8000  # such pixels per micrograph
_RIDGE = 0.02  # penalty on the coefficients, per unit of the examples' weight
_NETWORKS, _UNITS = 4, 100  # random layers, each fitted by itself, and their units
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


ARRAYS = ("mean", "spread", "units", "offsets", "readout")


@dataclass(frozen=True)
class Example:
    """Features (n, h, w) of a micrograph and the places (m, 2) of particles on it, x and y in pixels of these."""

    features: Array
    places: np.ndarray


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
    a narrow bump around each particle. Particles as a whole weigh as much as all that is not one.
    """
    rng = np.random.default_rng(seed)
    drawn = _drawn(examples, diameter / pixel_size, rng)
    mean, spread = drawn.values.mean(0), drawn.values.std(0) + 1e-6
    values = (drawn.values - mean) / spread
    count = values.shape[1]
    units = rng.standard_normal((_NETWORKS, count, _UNITS), dtype=np.float32) / np.float32(np.sqrt(count))
    offsets = 0.5 * rng.standard_normal((_NETWORKS, _UNITS), dtype=np.float32)
    layers = zip(units, offsets, strict=True)
    readout = np.stack([_ridge(_layer(values, *layer), drawn.wanted, drawn.weights()) for layer in layers])
    return LearnedPicker(pixel_size=pixel_size, diameter=diameter, mean=mean, spread=spread, units=units,
                         offsets=offsets, readout=readout.astype(np.float32))


def separation(examples: Sequence[Example], pixel_size: float, diameter: float) -> float:
    """Return how often a particle scores higher than a place without one, learned from the other half of micrographs.

    1 where all do, 0.5 where the picks lie anywhere. The linear part of the picker tells that.
    """
    drawn = _drawn(examples, diameter / pixel_size, np.random.default_rng(0))
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


def _drawn(examples: Sequence[Example], diameter: float, rng: np.random.Generator) -> _Drawn:
    """Return all pixels near particles and some others, of particles `diameter` pixels wide."""
    parts = [_drawn_of_one(example, diameter, rng) for example in examples]
    return _Drawn(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _drawn_of_one(example: Example, diameter: float, rng: np.random.Generator) -> _Drawn:
    from scipy.ndimage import distance_transform_edt

    height, width = example.features.shape[1:]
    columns, rows = np.clip(np.rint(example.places).astype(int), 0, (width - 1, height - 1)).T
    elsewhere = np.ones((height, width), np.bool_)
    elsewhere[rows, columns] = False
    distance = distance_transform_edt(elsewhere).reshape(-1) / (_BUMP * diameter)
    near, far = np.flatnonzero(distance <= _REACH), np.flatnonzero(distance > _REACH)
    pixels = np.concatenate([near, np.sort(rng.permutation(far)[:_MOST])])
    flat = example.features.reshape(len(example.features), -1)
    values = to_numpy(flat[:, namespace(flat).asarray(pixels)].T)
    wanted = np.exp(-0.5 * distance[pixels] ** 2).astype(np.float32)
    return _Drawn(values, wanted, distance[pixels] <= _REACH, (pixels % width >= width // 2).astype(np.int64))


def _layer(values: Array, units: Array, offsets: Array) -> Array:
    """Return features, units and a constant (p, n + h + 1)."""
    xp = namespace(values)
    return xp.concatenate([values, xp.maximum(product(values, units) + offsets, xp.float32(0.0)),
                           xp.ones((len(values), 1), dtype=xp.float32)], axis=1)


def _ridge(values: np.ndarray, wanted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    weighted = values * weight[:, None]
    return np.linalg.solve(weighted.T @ values + _RIDGE * np.eye(values.shape[1]), weighted.T @ wanted)
