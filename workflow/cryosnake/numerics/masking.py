"""Solvent masks: threshold of a low-pass filtered map, largest part, extension, soft edge."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from cryosnake.numerics.backend import Array, is_gpu, namespace, to_numpy

PROTEIN_VOLUME = 1.21e3  # Å³ per kDa, from a partial specific volume of 0.73 cm³/g (Matthews 1968)


@dataclass(frozen=True)
class Threshold:
    """A density threshold and how it was found.

    `enclosed_mass` is the mass in kDa that protein of the enclosed volume would have.
    """

    value: float
    enclosed_mass: float
    method: str


def _ndimage(array: Array) -> ModuleType:
    if is_gpu(array):
        import cupyx.scipy.ndimage

        return cupyx.scipy.ndimage
    import scipy.ndimage

    return scipy.ndimage


def inscribed_sphere(box: int, like: Array) -> Array:
    """Return True inside the sphere that fits the box, (box, box, box); its centre is voxel box // 2."""
    xp = namespace(like)
    axis = (xp.arange(box) - box // 2).astype(xp.float32) ** 2
    return axis[:, None, None] + axis[None, :, None] + axis[None, None, :] <= (box / 2 - 1) ** 2


def enclosed_mass(volume: Array, threshold: float, pixel_size: float) -> float:
    """Return the mass in kDa of protein that fills the volume above the threshold; 1.21 Å³ per Da."""
    return float((volume > threshold).sum()) * pixel_size**3 / PROTEIN_VOLUME


def threshold_for_mass(volume: Array, molecular_weight: float, pixel_size: float) -> Threshold:
    """Return the threshold above which the map has the volume of protein of this weight (kDa).

    Raises
    ------
    ValueError
        if that volume is larger than the box's inscribed sphere
    """
    values = to_numpy(volume[inscribed_sphere(volume.shape[0], volume)])
    voxels = round(molecular_weight * PROTEIN_VOLUME / pixel_size**3)
    if not 0 < voxels < values.size:
        raise ValueError(f"protein of {molecular_weight:g} kDa fills {voxels} voxels, the box has {values.size}")
    value = float(np.partition(values, values.size - voxels)[values.size - voxels])
    return Threshold(value, molecular_weight, f"encloses the volume of {molecular_weight:g} kDa of protein")


def automatic_threshold(volume: Array, pixel_size: float, noise_factor: float = 2.5) -> Threshold:
    """Return the density half way between solvent and particle, but at least `noise_factor` σ above the solvent.

    At half way the edge of a uniform density does not move under a low-pass. The two levels are the class means of
    Otsu's method (1979, IEEE Trans. Syst. Man Cybern. 9, eq. 12: largest between-class variance) on the density in
    the box's inscribed sphere; σ is that of the solvent class about its median, by the median absolute deviation.
    Voxels that are exactly zero (flattened solvent) do not count for σ.
    """
    values = to_numpy(volume[inscribed_sphere(volume.shape[0], volume)]).astype(np.float64)
    split = _otsu(values)
    solvent, particle = values[values <= split], values[values > split]
    middle = 0.5 * (solvent.mean() + particle.mean())
    noisy = solvent[solvent != 0.0]
    centre = float(np.median(noisy)) if noisy.size else 0.0
    sigma = 1.4826 * float(np.median(np.abs(noisy - centre))) if noisy.size else 0.0
    value = max(float(middle), centre + noise_factor * sigma)
    method = "half way between solvent and particle density" if value == middle else f"{noise_factor:g} σ above solvent"
    return Threshold(value, enclosed_mass(volume, value, pixel_size), method)


def _otsu(values: np.ndarray, bins: int = 1024) -> float:
    counts, edges = np.histogram(values, bins)
    centres = 0.5 * (edges[1:] + edges[:-1])
    below = np.cumsum(counts)
    moment = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (moment[-1] * below / below[-1] - moment) ** 2 / (below * (below[-1] - below))
    return float(edges[1 + int(np.nanargmax(np.where(np.isfinite(between), between, -1.0)))])


def drop_small_parts(binary: Array, fraction: float) -> tuple[Array, int]:
    """Return the binary map without the connected parts (26 neighbours) smaller than `fraction` of the largest one.

    1 keeps only the largest part, 0 everything. The second value is the number of parts left out.
    """
    if fraction <= 0:
        return binary, 0
    ndimage, xp = _ndimage(binary), namespace(binary)
    labels, count = ndimage.label(binary, structure=xp.ones((3, 3, 3)))
    if int(count) <= 1:
        return binary, 0
    sizes = xp.bincount(labels.ravel())
    sizes[0] = 0
    keep = sizes >= fraction * sizes.max()
    if fraction >= 1:
        keep = xp.arange(sizes.shape[0]) == sizes.argmax()
    keep[0] = False
    return keep[labels], int(count) - int(keep.sum())


def extend(binary: Array, distance: float) -> Array:
    """Return the binary map grown to every voxel nearer than `distance` voxels; a negative distance shrinks it.

    When shrinking, voxels at exactly this distance from the outside are removed (at the limit as in RELION in both).
    """
    if distance == 0:
        return binary
    distances = _ndimage(binary).distance_transform_edt(~binary if distance > 0 else binary)
    return distances < distance if distance > 0 else distances >= -distance


def soft_edge(binary: Array, width: float) -> Array:
    """Return a float32 mask: 1 in the binary map, a raised cosine of the distance outside, 0 from `width` voxels on."""
    xp = namespace(binary)
    if width <= 0 or not bool(binary.any()):
        return binary.astype(xp.float32)
    distances = _ndimage(binary).distance_transform_edt(~binary)
    return (0.5 + 0.5 * xp.cos(math.pi * xp.clip(distances / width, 0.0, 1.0))).astype(xp.float32)


def solvent_mask(binary: Array, extension: float, edge_width: float) -> Array:
    """Return the soft mask (box, box, box) float32 of a binary map, extended and with an edge, both in voxels.

    Exact Euclidean distance transforms (Felzenszwalb & Huttenlocher 2012, Theory Comput. 8) instead of a search
    around each voxel: the cost grows only with the volume. They run on the part of the box that the mask can reach.
    """
    xp = namespace(binary)
    result = xp.zeros(binary.shape, dtype=xp.float32)
    if not bool(binary.any()):
        return result
    window = _reach(binary, math.ceil(max(extension, 0.0) + max(edge_width, 0.0)) + 1)
    result[window] = soft_edge(extend(binary[window], extension), edge_width)
    return result


def _reach(binary: Array, margin: int) -> tuple[slice, ...]:
    xp = namespace(binary)
    window = []
    for axis in range(binary.ndim):
        others = tuple(other for other in range(binary.ndim) if other != axis)
        filled = to_numpy(xp.nonzero(xp.any(binary, axis=others))[0])
        window.append(slice(max(0, int(filled[0]) - margin), int(filled[-1]) + margin + 1))
    return tuple(window)
