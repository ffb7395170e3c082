"""Measured and fitted phases of optics groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cryosnake.report.panels.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 8  # groups in a picture
_COLUMNS = (("odd_measured", "odd, measured"), ("odd_fitted", "odd, fitted"), ("even_measured", "even, measured"),
            ("even_fitted", "even, fitted"))


def aberration_phases(found: Mapping[str, np.ndarray]) -> Figure:
    """Return pictures of phases, a row for each optics group, in radians.

    `found` has, for each group's number N: N_name, N_kx and N_ky (pixels,) in 1/Å, and the four phases (pixels,), as
    `N_odd_measured`. One half plane is given; the other follows from the symmetry of odd and even phases.
    """
    groups = sorted({int(key.partition("_")[0]) for key in found})[:_MOST]
    if not groups:
        with new_figure(6.4, 1.6, "No aberrations were fitted") as figure:
            return figure
    with new_figure(9.6, 0.5 + 2.5 * len(groups), "Phases of the images, radians") as figure:
        grid = figure.subplots(len(groups), len(_COLUMNS), squeeze=False)
        for row, group in zip(grid, groups, strict=True):
            kx, ky = found[f"{group}_kx"], found[f"{group}_ky"]
            for axes, (key, title) in zip(row, _COLUMNS, strict=True):
                values = found[f"{group}_{key}"]
                sign = -1.0 if key.startswith("odd") else 1.0
                limit = min(max(float(np.abs(found[f"{group}_{key.split('_')[0]}_fitted"]).max()), 0.5), np.pi)
                shown = axes.imshow(_image(kx, ky, values, sign), cmap="RdBu_r", vmin=-limit, vmax=limit,
                                    origin="lower", interpolation="nearest")
                axes.set_axis_off()
                axes.set_title(title, fontsize=9)
            figure.colorbar(shown, ax=row.tolist(), shrink=0.8)
            row[0].text(-0.05, 0.5, str(found[f"{group}_name"]), rotation=90, transform=row[0].transAxes,
                        ha="right", va="center", fontsize=9)
    return figure


def _image(kx: np.ndarray, ky: np.ndarray, values: np.ndarray, sign: float) -> np.ndarray:
    """Return a square image of both half planes; what is not measured is blank (NaN)."""
    top = float(np.hypot(kx, ky).max())
    side = int(np.sqrt(8.0 * len(kx) / np.pi)) | 1  # as many pixels across as there are frequencies
    image = np.full((side, side), np.nan, np.float32)
    for factor in (1.0, -1.0):
        x, y = (np.rint((factor * k / top + 1.0) * 0.5 * (side - 1)).astype(int) for k in (kx, ky))
        image[y, x] = values * (1.0 if factor > 0 else sign)
    return image
