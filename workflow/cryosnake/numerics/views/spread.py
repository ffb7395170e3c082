"""How evenly the views of particles sample Fourier space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from cryosnake.numerics import healpix

_VIEWS_ORDER, _AXES_ORDER = 5, 2  # HEALPix orders of the directions in which views are counted, and Fourier space is
UNEVEN = 0.5  # side views about one axis, which are enough for a map, have 0.8
_PLANE = 0.1  # sine of the angle within which an axis belongs to the central section of a view
_HALF_ORDER = 2  # of the directions in which half of the views are looked for


@dataclass(frozen=True)
class ViewSpread:
    """`evenness` is 1 for views from everywhere, 0 where parts of Fourier space are empty; `half` is a solid angle.

    Attributes
    ----------
    evenness : float
        Sampling compensation factor, 0 to 1.
    half : float
        Smallest part of all directions that has half of the views, 0.5 if they are even.
    """

    evenness: float
    half: float

    def describe(self) -> str:
        """Return the numbers, and a warning in a second line where the views are too uneven for a trustworthy map."""
        numbers = (f"Views: evenness {self.evenness:.2f} (sampling compensation factor; 1 is even), half of them in "
                   f"{self.half:.0%} of all directions")
        if self.evenness >= UNEVEN:
            return numbers
        return (f"{numbers}\nWARNING: the views are so uneven that the map is smeared along the direction of most of "
                "them, its FSC is too good, and orientations may be wrong. Add other views (tilt, another grid, picks "
                "that were left out), or even them by Select; compare the resolution in each direction.")


def view_spread(views: np.ndarray) -> ViewSpread:
    """Return how even viewing directions (n, 3) are, those of symmetry mates among them.

    Method: Baldwin & Lyumkis 2020, Prog. Biophys. Mol. Biol. 150, 160: the harmonic mean of the sampling of Fourier
    space in all directions. A view samples its central section, the plane at right angles to it.
    """
    counts = _counted(np.concatenate([views, -views]))
    planes = np.abs(_centres(_AXES_ORDER) @ _centres(_VIEWS_ORDER).T) < _PLANE
    even = planes.mean(1) * counts.sum()
    sampling = np.maximum(planes @ counts, 0.5) / even  # half a view where there is none
    coarse = np.sort(counts.reshape(-1, 4 ** (_VIEWS_ORDER - _HALF_ORDER)).sum(1))[::-1].cumsum()
    half = (np.searchsorted(coarse, 0.5 * coarse[-1]) + 1) / len(coarse)
    return ViewSpread(float(1.0 / np.mean(1.0 / sampling)), float(min(half, 0.5)))


def _counted(views: np.ndarray) -> np.ndarray:
    """Return the numbers (pixels,) of views by direction; those of one coarser pixel are neighbours."""
    _, pixel = cKDTree(_centres(_VIEWS_ORDER)).query(views)
    return np.bincount(pixel, minlength=healpix.pixel_count(_VIEWS_ORDER)).astype(np.float64)


def _centres(order: int) -> np.ndarray:
    return healpix.directions(*healpix.pixel_angles(order, np.arange(healpix.pixel_count(order))))
