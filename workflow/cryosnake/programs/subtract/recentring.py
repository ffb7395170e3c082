"""Images moved by whole pixels and cut about a point of the map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cryosnake.programs.optics.groups import OpticsGroup


def centre_of_mass(mask: np.ndarray) -> np.ndarray:
    """Return the centre of mass (3,) of a mask (box, box, box): x, y, z in voxels from voxel box // 2."""
    total = mask.sum(dtype=np.float64)
    sums = (mask.sum(axis=axes, dtype=np.float64) for axes in ((0, 1), (0, 2), (1, 2)))
    return np.array([values @ (np.arange(len(values)) - len(values) // 2) / total for values in sums])


def views_of(poses: np.ndarray, groups: Sequence[OpticsGroup], optics: np.ndarray) -> np.ndarray:
    """Return the matrices (n, 2, 3) from places in the map to places in the images, which are magnified."""
    stretched = np.stack([group.magnification.T for group in groups])
    return np.asarray(stretched[optics] @ poses[:, :2])


def origins_about(point: np.ndarray, views: np.ndarray, origins: np.ndarray) -> np.ndarray:
    """Return the origins (n, 2) that move a point (3,) of the map, in place of its centre, to the images' centres; Å.

    `origins` (n, 2) are those of the map's centre, `views` (n, 2, 3) as from `views_of`.
    """
    return np.asarray(origins - views @ point)


def moved_and_cut(images: np.ndarray, shifts: np.ndarray, box: int) -> np.ndarray:
    """Return images (n, N, N) moved by whole pixels (n, 2), x and y, around the edges, cut to `box` at the centre."""
    size = images.shape[-1]
    source = (np.arange(box) + size // 2 - box // 2 - shifts[:, :, None].astype(np.int64)) % size  # (n, 2, box)
    return images[np.arange(len(images))[:, None, None], source[:, 1, :, None], source[:, 0, None, :]]
