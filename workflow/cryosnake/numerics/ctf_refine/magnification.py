"""Anisotropic magnification: by which matrix the frequencies of images must be multiplied to fit their predictions.

A prediction at (1 + D) k is p + ∇p · D k, so the least-squares D follows from sums over particles (Zivanov, Nakane &
Scheres 2020, IUCrJ 7, 253-267). They are kept by shell: the factor of the predictions and the noise are the shell's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

from cryosnake.numerics.backend import Array, namespace, to_numpy
from cryosnake.numerics.ctf import Defocus

_SIDES = ((0, 0), (0, 1), (1, 0), (1, 1))  # D's elements: the gradient's axis, the frequency's axis


@dataclass(frozen=True, kw_only=True)
class MagnificationSums:
    """Sums over the particles of an optics group, by shell; c is CTF · exp(iφ), d_j = ∂p/∂D_j.

    Attributes
    ----------
    cross, squares, power : (shells,)
        Σ Re(image · conj(c p)), Σ |c p|², Σ |image|².
    image_slopes, own_slopes : (shells, 4)
        Σ Re(image · conj(c d)), Σ Re(c p · conj(c d)).
    slopes : (shells, 4, 4)
        Σ Re(c d · conj(c d)).
    pixels : (shells,)
        Σ 1, over pixels and particles.
    """

    cross: np.ndarray
    squares: np.ndarray
    power: np.ndarray
    image_slopes: np.ndarray
    own_slopes: np.ndarray
    slopes: np.ndarray
    pixels: np.ndarray

    def __add__(self, other: MagnificationSums) -> MagnificationSums:
        return MagnificationSums(**{each.name: getattr(self, each.name) + getattr(other, each.name)
                                    for each in fields(self)})


def magnification_sums(images: Array, predictions: Array, slopes: tuple[Array, Array],
                       frequencies: tuple[Array, Array], shell: np.ndarray) -> MagnificationSums:
    """Return the sums over particles.

    Parameters
    ----------
    images : (n, pixels) complex64
        Transforms times exp(−iφ).
    predictions : (n, pixels) complex64
        CTF times the prediction from the particle's own half map.
    slopes : two (n, pixels) complex64
        CTF times the derivative of the prediction from the other half map by kx and by ky: with the same half, its
        noise would look like a magnification.
    frequencies : two (pixels,)
        kx and ky, in the unit of the slopes.
    shell : (pixels,) int64
    """
    xp = namespace(images)

    def total(left: Array, right: Array) -> np.ndarray:
        values = left.real * right.real + left.imag * right.imag
        return np.asarray(to_numpy(values.sum(0, dtype=xp.float64)), np.float64)

    k = [np.asarray(to_numpy(values), np.float64) for values in frequencies]
    of_images, of_predictions = ([total(values, slope) for slope in slopes] for values in (images, predictions))
    products = [[total(one, other) for other in slopes] for one in slopes]

    def by_shell(values: np.ndarray) -> np.ndarray:
        return np.bincount(shell, values)

    return MagnificationSums(
        cross=by_shell(total(images, predictions)), squares=by_shell(total(predictions, predictions)),
        power=by_shell(total(images, images)),
        image_slopes=np.stack([by_shell(of_images[a] * k[b]) for a, b in _SIDES], 1),
        own_slopes=np.stack([by_shell(of_predictions[a] * k[b]) for a, b in _SIDES], 1),
        slopes=np.stack([np.stack([by_shell(products[a][c] * k[b] * k[d]) for c, d in _SIDES], 1)
                         for a, b in _SIDES], 1),
        pixels=by_shell(np.full(len(shell), float(len(images)))))


def fit_magnification(sums: MagnificationSums) -> tuple[np.ndarray, np.ndarray]:
    """Return D (2, 2), by which 1 + D multiplies the matrix used for the sums, and the expected error of each element.

    Where nothing is known (no signal in any shell) both are 0 and infinite.
    """
    known = sums.squares > 0
    scale = np.maximum(np.where(known, sums.cross / np.where(known, sums.squares, 1.0), 0.0), 0.0)
    noise = np.where(sums.pixels > 0, sums.power / np.maximum(sums.pixels, 1.0), 1.0)
    noise = np.where(noise > 0, noise, 1.0)
    weight = scale / noise
    normal = np.einsum("s,sij->ij", 2.0 * weight * scale, sums.slopes)
    right = np.einsum("s,si->i", 2.0 * weight, sums.image_slopes - scale[:, None] * sums.own_slopes)
    if not np.trace(normal) > 0:
        return np.zeros((2, 2)), np.full((2, 2), np.inf)
    inverse = np.linalg.pinv(normal)
    return (inverse @ right).reshape(2, 2), np.sqrt(np.maximum(np.diag(inverse), 0.0)).reshape(2, 2)


def defocus_in_new_frame(defocus: Defocus, change: np.ndarray) -> Defocus:
    """Return defoci (n,) whose phase at (1 + D) k is what it was at k; `change` is 1 + D, (2, 2)."""
    u, v, angle = (np.asarray(values, np.float64) for values in (defocus.u, defocus.v, defocus.angle))
    mean, half, double = 0.5 * (u + v), 0.5 * (u - v), np.radians(2.0 * angle)
    along, across = half * np.cos(double), half * np.sin(double)
    matrix = np.stack([np.stack([mean + along, across], -1), np.stack([across, mean - along], -1)], -2)
    inverse = np.linalg.inv(change)
    turned = np.einsum("ji,njk,kl->nil", inverse, matrix, inverse)
    mean, along = 0.5 * (turned[:, 0, 0] + turned[:, 1, 1]), 0.5 * (turned[:, 0, 0] - turned[:, 1, 1])
    across = 0.5 * (turned[:, 0, 1] + turned[:, 1, 0])
    half = np.hypot(along, across)
    return Defocus(mean + half, mean - half, np.mod(0.5 * np.arctan2(across, along) * 180.0 / math.pi, 180.0),
                   defocus.phase_shift)
