"""Distances of orientations from poses: the angle between their directions, and the in-plane angle."""

from __future__ import annotations

import math

import numba as nb

from cryosnake.numerics.backend import Array, namespace


def in_plane_angle(poses: Array, frames: Array) -> Array:
    """Return the psi in degrees that rotates orientations of psi = 0 as close as possible to poses (…, 3, 3)."""
    sine = (poses[..., 0, :] * frames[..., 1, :] - poses[..., 1, :] * frames[..., 0, :]).sum(-1)
    cosine = (poses[..., 0, :] * frames[..., 0, :] + poses[..., 1, :] * frames[..., 1, :]).sum(-1)
    xp = namespace(sine)
    return xp.degrees(xp.arctan2(sine, cosine))


def squared_distance(poses: Array, frames: Array, psi: Array, flat: float) -> Array:
    """Return the sum of the squares of both angles, degrees², of which up to `flat` degrees each do not count.

    Parameters
    ----------
    poses, frames : (n, 3, 3) float64
    psi : (n,)
        Degrees: the orientations are frames rotated by it.
    """
    xp = namespace(poses)
    away = xp.degrees(xp.arccos(xp.clip((poses[:, 2] * frames[:, 2]).sum(-1), -1.0, 1.0)))
    off = in_plane_angle(poses, frames) - psi
    off = xp.abs((off + 180.0) % 360.0 - 180.0)
    return xp.maximum(away - flat, 0.0) ** 2 + xp.maximum(off - flat, 0.0) ** 2


@nb.njit(nogil=True, cache=True)
def pair_distances(poses, frames, particle, direction, psi, flat, distance):  # type: ignore[no-untyped-def]
    """`squared_distance` of pairs, for poses[particle] and frames[direction], into `distance` (pairs,) float64."""
    degrees = 180.0 / math.pi
    for j in range(particle.size):
        pose, frame = poses[particle[j]], frames[direction[j]]
        same = sine = cosine = 0.0
        for k in range(3):
            same += pose[2, k] * frame[2, k]
            sine += pose[0, k] * frame[1, k] - pose[1, k] * frame[0, k]
            cosine += pose[0, k] * frame[0, k] + pose[1, k] * frame[1, k]
        away = max(math.acos(min(max(same, -1.0), 1.0)) * degrees - flat, 0.0)
        off = math.atan2(sine, cosine) * degrees - psi[j]
        off = max(abs((off + 180.0) % 360.0 - 180.0) - flat, 0.0)
        distance[j] = away * away + off * off
