"""Views about one axis hardly tell how deep a particle is along it: tilts and depth scale together (a bas-relief).

A map that is flatter by some factor, at tilts larger by it, looks the same as long as these are small (the bas-relief
ambiguity: Belhumeur, Kriegman & Yuille 1999, Int. J. Comput. Vis. 35, 33).
"""

from __future__ import annotations

import numpy as np
import scipy.ndimage

from cryosnake.numerics.views.spread import UNEVEN, view_spread

_NEAR = 30.0  # degrees from the axis, within which
_MOST = 0.5  # of the views are, where one axis is preferred


def preferred_axis(views: np.ndarray) -> np.ndarray | None:
    """Return the axis (3,) about which most of the viewing directions (n, 3) are; None where they are even, or others.

    Give the directions of symmetry mates as well: where they are about several axes, the depth along one is known.
    """
    axis: np.ndarray = np.linalg.eigh(views.T @ views)[1][:, -1]
    near = np.abs(views @ axis) > np.cos(np.radians(_NEAR))
    return axis if near.mean() > _MOST and view_spread(views).evenness < UNEVEN else None


def scaled_tilts(poses: np.ndarray, axis: np.ndarray, factor: float) -> np.ndarray:
    """Return poses (n, 3, 3) whose views have tilts from an axis (3,) with tangents `factor` times as large."""
    views = poses[:, 2]
    along = (views @ axis)[:, None] * axis
    turned = along + factor * (views - along)
    turned /= np.linalg.norm(turned, axis=1, keepdims=True)
    return np.einsum("nij,nkj->nik", poses, _shortest_turns(views, turned))


def _shortest_turns(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the rotations (n, 3, 3) about the normals of both unit vectors (n, 3) that turn the first to the second.

    Equation: Rodrigues' formula, 1 + K + K² / (1 + cos).
    """
    x, y, z = np.cross(first, second).T
    cosine, zero = (first * second).sum(1), np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).reshape(-1, 3, 3)
    return np.eye(3) + cross + cross @ cross / (1.0 + cosine)[:, None, None]


def deepened(volume: np.ndarray, axis: np.ndarray, factor: float) -> np.ndarray:
    """Return a map (box, box, box) `factor` times as long along an axis (x, y, z) through its centre."""
    along = np.outer(axis[::-1], axis[::-1])
    matrix, centre = np.eye(3) + (1.0 / factor - 1.0) * along, np.full(3, len(volume) // 2)
    return scipy.ndimage.affine_transform(volume.astype(np.float32), matrix, centre - matrix @ centre, order=3)
