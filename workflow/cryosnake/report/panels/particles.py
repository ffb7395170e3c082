"""Particles and micrographs: angular distribution, picks, motion over a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.report.panels.figures import BLUE, INK, ORANGE, new_figure, scale_bar, show_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def angular_distribution(rot: np.ndarray, tilt: np.ndarray, symmetry: np.ndarray | None = None,
                         title: str = "Angular distribution") -> Figure:
    """Return a map of the number of particles seen from each direction.

    The projection is equal-area (Mollweide); the colour is the number of views as a multiple of an even distribution.

    Parameters
    ----------
    rot, tilt : (n,)
        Degrees.
    symmetry : (m, 3, 3)
        The point group's rotations; each particle then counts in all its equivalent views.
    """
    directions = euler_to_matrix(rot, tilt, np.zeros_like(rot))[:, 2]
    if symmetry is not None:
        directions = np.einsum("ni,mij->mnj", directions, symmetry).reshape(-1, 3)
    bins = int(np.clip(np.sqrt(len(directions) / 16), 10, 40))
    across = np.linspace(-np.pi, np.pi, 2 * bins + 1)
    heights = np.linspace(-1.0, 1.0, bins + 1)  # bands of equal area
    counts, _, _ = np.histogram2d(directions[:, 2], np.arctan2(directions[:, 1], directions[:, 0]), (heights, across))
    fine = 8  # corners are joined by straight lines: bands are subdivided so that the poles are filled
    along = np.arcsin(np.interp(np.arange(fine * bins + 1) / fine, np.arange(bins + 1), heights))
    along = np.unique(np.concatenate([along, np.linspace(-np.pi / 2, np.pi / 2, 181)]))
    band = np.clip(np.searchsorted(heights, np.sin(0.5 * (along[1:] + along[:-1]))) - 1, 0, bins - 1)
    with new_figure(6.4, 3.5) as figure:
        axes = figure.add_subplot(projection="mollweide")
        axes.grid(False)
        mesh = axes.pcolormesh(across, along, (counts / counts.mean())[band], cmap="magma", vmin=0.0, rasterized=True)
        for tick in np.radians([-120, -60, 0, 60, 120]):
            axes.plot([tick, tick], [-1.5, 1.5], color="white", alpha=0.25, linewidth=0.6)
            axes.annotate(f"{np.degrees(tick):.0f}°".replace("-", "−"), (tick, 0.0), color="white", fontsize=7,
                          ha="center", va="center")
        axes.set_xticks([])
        axes.set_yticks(np.radians([60, 30, 0, -30, -60]), ["30°", "60°", "tilt 90°", "120°", "150°"], fontsize=7)
        figure.colorbar(mesh, ax=axes, shrink=0.75, label="views (1 = even)")
        axes.set_title(f"{title}, {len(rot):,} particles", pad=10)
    return figure


def micrograph_picks(micrograph: np.ndarray, picks: np.ndarray, diameter: float, pixel_size: float,
                     title: str = "Micrograph") -> Figure:
    """Return a micrograph (rows, columns) with circles around the picks.

    Parameters
    ----------
    picks : (n, 2)
        x, y in pixels of this image.
    diameter : float
        Pixels.
    pixel_size : float
        Å.
    """
    from matplotlib.collections import EllipseCollection

    height, width = micrograph.shape
    with new_figure(6.6, 6.6 * height / width + 0.35) as figure:
        axes = figure.subplots()
        show_image(axes, smooth(micrograph, pixel_size))
        axes.add_collection(EllipseCollection(np.full(len(picks), diameter), np.full(len(picks), diameter),
                                              np.zeros(len(picks)), units="xy", offsets=picks,
                                              offset_transform=axes.transData, facecolors="none", edgecolors=ORANGE,
                                              linewidths=1.1))
        scale_bar(axes, width, pixel_size)
        axes.set_title(f"{title}: {len(picks):,} picks")
    return figure


def smooth(micrograph: np.ndarray, pixel_size: float, resolution: float = 20.0) -> np.ndarray:
    """Return a micrograph blurred to about `resolution` (Å), so that particles are visible."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(micrograph.astype(np.float32), max(resolution / pixel_size / 4.0, 0.5))


def motion_statistics(motion: Mapping[str, np.ndarray]) -> Figure:
    """Return histograms and course of accumulated motion; `motion` maps names (total, early, late) to (n,) in Å."""
    with new_figure(2.9 * len(motion), 5.0) as figure:
        panels = figure.subplots(2, len(motion), squeeze=False)
        for column, (name, values) in enumerate(motion.items()):
            histogram(panels[0, column], values, f"{name} motion (Å)")
            series(panels[1, column], values, f"{name} motion (Å)")
        panels[0, 0].set_title(f"Motion of {len(next(iter(motion.values()))):,} movies")
    return figure


def histogram(axes: Axes, values: np.ndarray, name: str) -> None:
    """Draw a histogram with its median; the uppermost per cent is gathered in the last bin."""
    from matplotlib.ticker import MaxNLocator

    high = np.percentile(values, 99) if len(values) > 100 else values.max()
    shown = np.minimum(values, high)
    bins = int(np.clip(np.sqrt(len(values)) * 1.5, 8, 40))
    low = float(shown.min())
    axes.hist(shown, bins, range=(low, max(float(high), low + 1e-6)), color=BLUE, edgecolor="white", linewidth=0.6)
    median = float(np.median(values))
    axes.axvline(median, color=INK, linewidth=1.0, linestyle="--")
    axes.annotate(f"median {median:.3g}", (median, 1.0), xycoords=("data", "axes fraction"), xytext=(4, -3),
                  textcoords="offset points", va="top", fontsize=8,
                  bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.0})
    axes.set(xlabel=name, ylabel="micrographs")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def series(axes: Axes, values: np.ndarray, name: str) -> None:
    """Draw values in the order of the session, with a running median."""
    from scipy.ndimage import median_filter

    number = np.arange(1, len(values) + 1)
    axes.scatter(number, values, s=12, color=BLUE, alpha=0.6, linewidths=0)
    if len(values) >= 30:
        axes.plot(number, median_filter(values, size=max(7, len(values) // 15), mode="nearest"), color=ORANGE,
                  linewidth=1.6)
    axes.set(xlabel="micrograph", ylabel=name)
