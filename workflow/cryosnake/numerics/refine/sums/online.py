"""Online expectation maximisation: mini-batches, sums with decay, and the schedule from a blob to a map.

Methods: online EM with exponentially decaying sums (Cappé & Moulines 2009, J. R. Stat. Soc. B 71, 593), deterministic
annealing (Rose 1998, Proc. IEEE 86, 2210), ab initio maps from random orientations (Punjani et al. 2017, Nat. Methods
14, 290; RELION's initial models: Zivanov et al. 2018, eLife 7, e42166).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cryosnake.numerics.projection import crop_centred
from cryosnake.numerics.refine.sums.insertion import empty_sums, insert_slices
from cryosnake.numerics.refine.sums.maximisation import finish_sums
from cryosnake.numerics.refine.sums.reconstruction import fsc_of_sums

_HOLD, _ARRIVE = 0.15, 0.9  # fractions of the steps: the resolution stays at the first, and has reached the last
_ANNEALED = 0.3  # fraction of the steps after which the noise counts as it is
_TEMPERATURE = 4.0
_DECAY = (0.8, 0.9)
_TURN = 1.35  # a step may move the particle's edge by this many times the resolution
_FINEST_ORDER = 2  # of searches over everything without oversampling


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Treatment of one mini-batch.

    Attributes
    ----------
    resolution : float
        Limit, Å.
    order : int
        HEALPix order of the search.
    dense : bool
        Whether all samples are used; otherwise the significant ones, oversampled.
    batch : int
        Particles.
    temperature : float
        Divides the log likelihood.
    decay : float
        Weight of the sums of earlier batches from now on.
    """

    resolution: float
    order: int
    dense: bool
    batch: int
    temperature: float
    decay: float


def stage_at(part: float, resolutions: tuple[float, float], batches: tuple[int, int], diameter: float) -> Stage:
    """Return the stage at a part (0 … 1) of the way from the first resolution and batch size to the last.

    `resolutions` and `diameter` in Å. The frequency limit grows evenly; the angular step follows from how far it moves
    the particle's edge.
    """
    grown = min(max((part - _HOLD) / (_ARRIVE - _HOLD), 0.0), 1.0)
    limit = 1.0 / (1.0 / resolutions[0] + (1.0 / resolutions[1] - 1.0 / resolutions[0]) * grown)
    wanted = _TURN * limit * 360.0 / (math.pi * diameter)
    order = max(1, math.ceil(math.log2(60.0 / wanted)))
    return Stage(resolution=limit, order=min(order, _FINEST_ORDER), dense=order <= _FINEST_ORDER,
                 batch=round(batches[0] + (batches[1] - batches[0]) * grown),
                 temperature=1.0 + (_TEMPERATURE - 1.0) * max(1.0 - part / _ANNEALED, 0.0),
                 decay=_DECAY[0] + (_DECAY[1] - _DECAY[0]) * grown)


def resized_sums(sums: np.ndarray, radius: int) -> np.ndarray:
    """Return sums (…, 2m + 1, 2m + 1, m + 1, 3) for slices with |k| ≤ radius: cut, or with zeros around."""
    flat = sums.reshape(-1, *sums.shape[-4:])
    if flat.shape[-2] == 2 * radius + 3:
        return sums
    resized = [np.stack([crop_centred(one[..., part], 2 * radius + 2) for part in range(3)], -1) for one in flat]
    return np.stack(resized).reshape(*sums.shape[:-4], *resized[0].shape)


def random_rotations(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return rotation matrices (count, 3, 3), evenly distributed (Shoemake 1992, Graphics Gems III, 124)."""
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_quat(rng.normal(size=(count, 4))).as_matrix())


def random_sums(images: np.ndarray, ctf2: np.ndarray, band_k: tuple[np.ndarray, np.ndarray], radius: int,
                operators: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the sums (2m + 1, 2m + 1, m + 1, 3) of images (n, pixels) back-projected at random orientations."""
    sums = empty_sums(radius)[None]
    insert_slices(sums, random_rotations(len(images), rng), *band_k, (np.ascontiguousarray(images.real),
                                                                      np.ascontiguousarray(images.imag)), ctf2)
    return finish_sums(sums, operators)


def halves_ssnr(first: np.ndarray, second: np.ndarray, radius: int, count: int, least: float) -> np.ndarray:
    """Return the signal-to-noise ratio (count,) of a map from the FSC of the sums of its two halves; 0 beyond radius.

    Both halves were aligned to the same map, so fitted noise makes it too good; the limit of the schedule keeps that
    in check.
    """
    curve = np.clip(fsc_of_sums(first, second, radius, count), 0.0, 0.999)
    ssnr = np.maximum(2.0 * curve / (1.0 - curve), least)
    ssnr[radius + 1 :] = 0.0
    return ssnr
