"""The maximisation step: maps from sums, signal-to-noise ratios, noise and scale estimates."""

from __future__ import annotations

import numpy as np

from cryosnake.numerics.backend import Array, to_numpy
from cryosnake.numerics.refine.sums.insertion import complete_plane, symmetrise
from cryosnake.numerics.refine.sums.reconstruction import divide, fsc_of_sums, radii, shell_means_of, to_real_space

_FSC_LIMIT = 0.999  # that is, at most 999 times more signal than noise


def finish_sums(sums: Array, operators: np.ndarray) -> np.ndarray:
    """Return one symmetric volume of sums from those of the threads (threads, 2m + 1, 2m + 1, m + 1, 3).

    A single volume is changed in place: there may be no room for two. Those of a GPU, (1, …, 4), are finished there;
    the result is in host memory.
    """
    total = sums.sum(0) if len(sums) > 1 else sums[0]
    if total.shape[-1] > 3:
        total = total[..., :3].copy()
    complete_plane(total)
    return to_numpy(symmetrise(total, operators))


def join_low_resolution(first: np.ndarray, second: np.ndarray, shell: int) -> None:
    """Give both halves' sums, in place, the average of the two up to a shell, so that they cannot drift apart."""
    centre = first.shape[0] // 2
    reach = min(2 * shell + 2, centre)  # voxels, of which a shell is two
    around = slice(centre - reach, centre + reach + 1)
    near = (around, around, slice(reach + 1))
    inside = (radii(first[near].shape[:-1]) <= shell)[..., None]
    mean = 0.5 * (first[near] + second[near])
    for half in (first, second):
        half[near] = np.where(inside, mean, half[near])


def gold_standard(first: np.ndarray, second: np.ndarray, radius: int, joined: int, count: int) -> np.ndarray:
    """Return the FSC (count,) of two halves' sums, 1 up to the shell `joined`, where they are the same."""
    curve = fsc_of_sums(first, second, radius, count)
    curve[: joined + 1] = 1.0
    return curve


def ssnr_from_fsc(fsc: np.ndarray, both_halves: bool = False) -> np.ndarray:
    """Return the spectral signal-to-noise ratio of a half map, or of the map of both halves.

    Equation: SSNR = FSC / (1 − FSC) (Scheres & Chen 2012, Nat. Methods 9, 853); both halves have twice that.
    """
    clipped = np.clip(fsc, 1e-3, _FSC_LIMIT)
    return clipped / (1.0 - clipped) * (2.0 if both_halves else 1.0)


def regularised_map(sums: np.ndarray, radius: int, box: int, ssnr: np.ndarray | None,
                    mean: np.ndarray | None = None) -> np.ndarray:
    """Return the map (box, box, box) float32 of a volume of sums; unregularised without `ssnr`.

    `mean` is the mean weight of its shells (`reconstruction.mean_weight`), where that is known.
    """
    return to_real_space(divide(sums, radius, ssnr, mean=mean), box)


def reference_power(transform: np.ndarray, count: int) -> np.ndarray:
    """Return the mean |F|² (count,) by shell of a centred, padded transform."""
    power = np.empty(transform.shape)
    for result, plane in zip(power, transform, strict=True):
        result[:] = np.abs(plane.astype(np.complex128)) ** 2
    return shell_means_of(power, count)


def low_pass(volume: np.ndarray, pixel_size: float, resolution: float, edge: float = 2.0) -> np.ndarray:
    """Return the map (box, box, box) low-passed at `resolution` Å with a cosine edge of `edge` shells."""
    import scipy.fft

    box = volume.shape[0]
    full = np.fft.fftfreq(box, 1.0 / box) ** 2
    radius = np.sqrt(full[:, None, None] + full[None, :, None] + np.arange(box // 2 + 1) ** 2)
    ramp = np.clip((radius - (box * pixel_size / resolution - edge / 2)) / edge, 0.0, 1.0)
    transform = scipy.fft.rfftn(volume.astype(np.float32)) * (0.5 + 0.5 * np.cos(np.pi * ramp)).astype(np.float32)
    return scipy.fft.irfftn(transform, s=volume.shape).astype(np.float32)


def group_scales(cross: np.ndarray, power: np.ndarray, group: np.ndarray, old: np.ndarray) -> np.ndarray:
    """Return intensity scales of groups (micrographs), mean 1 over the particles, within 0.2 … 5 of the median.

    Parameters
    ----------
    cross, power : (n,) float64
        Expectations of ⟨S c y, P⟩ and ⟨c², |P|²⟩ of each particle, over the shells with signal, made with `old` scales.
    group : (n,) int
    old : (groups,) float64

    Notes
    -----
    Least squares: Scheres et al. 2009, Structure 17, 1563 ("intensity scale factors").
    """
    count = len(old)
    number = np.bincount(group, minlength=count)
    top, bottom = np.bincount(group, cross, count), np.bincount(group, power, count)
    scale = np.where(bottom > 0, old * top / np.where(bottom > 0, bottom, 1.0), old)
    median = np.median(scale[number > 0])
    if not np.isfinite(median) or median <= 0:
        return old
    scale = np.clip(scale, 0.2 * median, 5.0 * median)
    return scale / (scale @ number / number.sum())
