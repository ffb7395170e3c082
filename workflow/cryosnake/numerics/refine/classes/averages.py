"""The maximisation step of Class2D: class averages from sums, and their decay."""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.backend import Array, to_numpy
from cryosnake.numerics.fsc import last_shell_above
from cryosnake.numerics.refine.sums.insertion import complete_plane
from cryosnake.numerics.refine.sums.reconstruction import divide, radii, to_real_space

_PADDING = 2


def finish_class_sums(sums: Array) -> np.ndarray:
    """Return sums (classes, 2m + 1, m + 1, 3) in host memory from those of the threads (threads, classes, …)."""
    total = to_numpy(sums.sum(0) if len(sums) > 1 else sums[0, ..., :3].copy())
    for plane in total:
        complete_plane(plane)
    return total


def class_averages(sums: np.ndarray, radius: int, box: int, ssnr: np.ndarray) -> np.ndarray:
    """Return the averages (classes, box, box) float32; zeros for classes without particles."""
    return np.stack([to_real_space(divide(plane, radius, curve), box) for plane, curve in zip(sums, ssnr, strict=True)])


def class_shells(ssnr: np.ndarray) -> np.ndarray:
    """Return the last shell (classes,) in which each class has more signal than noise, at least 1."""
    return np.array([max(last_shell_above(curve, 1.0), 1) for curve in ssnr])


def is_fine_enough(step: float, resolution: float) -> bool:
    """Return whether a search in steps of `step` (Å, of shifts or at the particle's edge) needs no oversampling.

    Steps of half the resolution meet the sampling theorem for the averages; the grid is rotated and shifted at random
    in every iteration, so that what falls between its points in one does not in the next.
    """
    return step <= 0.5 * resolution


def decayed_sums(old: np.ndarray, new: np.ndarray, step: float) -> np.ndarray:
    """Return (1 − step) · old + new, (classes, 2m + 1, m + 1, 3), of the size of `new`.

    Cappé & Moulines 2009, eq. 9, times 1 / step: the weights stay those of that many particles, so that the
    signal-to-noise ratio computed from them is correct.
    """
    result = new.copy()
    reach = min(old.shape[2], new.shape[2]) - 1
    ours, theirs = result.shape[1] // 2, old.shape[1] // 2
    result[:, ours - reach : ours + reach + 1, : reach + 1] += np.float32(1.0 - step) * (
        old[:, theirs - reach : theirs + reach + 1, : reach + 1])
    return result


def revived(sums: np.ndarray, batch: np.ndarray, share: np.ndarray, least: float = 0.1) -> None:
    """Split the largest class if another one has less than `least` of the mean share, in place; once per call.

    Both get half of the large class's sums; the empty one counts the newest batch twice, a difference large
    enough for the next batches to separate them. RELION's VDAM resets such classes too (class_inactivity_threshold).

    Parameters
    ----------
    sums, batch : (classes, 2m + 1, m + 1, 3)
        All sums kept so far, and the newest batch's part of them.
    share : (classes,)
        Of the particles; sums to 1.
    """
    empty, large = int(share.argmin()), int(share.argmax())
    if share[empty] * len(share) >= least:
        return
    sums[large] *= 0.5
    sums[empty] = sums[large] + batch[large]
    share[[empty, large]] = 0.5 * (share[empty] + share[large])


def sums_of_averages(transforms: np.ndarray, weight: np.ndarray, ssnr: np.ndarray) -> np.ndarray:
    """Return sums (classes, 2m + 1, m + 1, 3) that would give averages with these transforms, (classes, 2m + 1, m + 1).

    Parameters
    ----------
    weight, ssnr : (classes, shells)
        Mean weight of the shells, and the signal-to-noise ratio that the averages were regularised with.
    """
    shells = np.minimum(np.rint(radii(transforms.shape[1:], _PADDING)).astype(np.int64), weight.shape[1] - 1)
    flat = weight[:, shells]
    data = transforms * flat * (1.0 + 1.0 / np.maximum(ssnr[:, shells], 1.0))  # more would amplify only the mask's edge
    return np.stack([data.real, data.imag, flat], -1).astype(np.float32)


def moved_sums(sums: np.ndarray, shifts: np.ndarray, box: int) -> np.ndarray:
    """Return the sums of classes after moving all members by shifts (classes, 2), x and y in pixels of the box."""
    reach = sums.shape[2] - 1
    ky, kx = (np.arange(-reach, reach + 1) / _PADDING)[:, None], np.arange(reach + 1) / _PADDING
    angle = -2.0 * np.pi / box * (shifts[:, 0, None, None] * kx + shifts[:, 1, None, None] * ky)
    data = (sums[..., 0] + 1j * sums[..., 1]) * np.exp(1j * angle)
    return np.stack([data.real, data.imag, sums[..., 2]], -1).astype(np.float32)
