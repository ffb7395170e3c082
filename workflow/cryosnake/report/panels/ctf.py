"""CTF fits: one micrograph in detail, and all of a job at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cryosnake.report.panels.figures import BLUE, GREEN, GREY, INK, ORANGE, RED, new_figure, show_image, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cryosnake.numerics.ctf_fit import CtfFit


def ctf_fit_panel(
    picture: np.ndarray,  # (n, n) of the .ctf file: the fit on the left, the spectrum on the right
    fit: CtfFit,
    title: str = "CTF fit",
) -> Figure:
    """Return the diagnostic picture beside the equi-phase average, the fit and their local correlation."""
    with style():
        figure = new_figure(9.6, 3.6)
        left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.75))
        show_image(left, _smoothed(picture), (0.25, 0.75))
        left.set_title(title)
        scale = 0.25 / (np.std(fit.observed) + 1e-12)
        right.plot(fit.frequency, 0.5 + scale * fit.observed, color=INK, linewidth=1.0, label="spectrum")
        right.plot(fit.frequency, fit.fitted, color=ORANGE, linewidth=1.2, label="CTF²", zorder=1)
        right.plot(fit.frequency, fit.correlation, color=BLUE, label="local correlation")
        right.axvline(1.0 / fit.fit_resolution, color=RED, linewidth=1.2, linestyle="--")
        right.set(xlabel="spatial frequency (1/Å)", ylim=(-0.5, 2.0), title=_caption(fit))
        right.legend(loc="upper right", ncols=3, fontsize=8)
    return figure


def ctf_overview(table: pd.DataFrame, title: str = "CTF estimation") -> Figure:
    """Return histograms of mean defocus, fit resolution, astigmatism and figure of merit.

    Parameters
    ----------
    table
        Rows of micrographs_ctf.star
    """
    defocus = 0.5 * (table["rlnDefocusU"] + table["rlnDefocusV"])
    with style():
        figure = new_figure(9.6, 2.9)
        figure.suptitle(f"{title}: {len(table)} micrographs", x=0.01, ha="left", fontsize=10, fontweight="bold")
        axes = figure.subplots(1, 4)
        _histogram(axes[0], defocus / 1e4, "mean defocus (µm)", BLUE)
        _histogram(axes[1], table["rlnCtfMaxResolution"], "fit resolution (Å)", GREEN)
        _histogram(axes[2], (table["rlnDefocusU"] - table["rlnDefocusV"]).abs(), "astigmatism (Å)", ORANGE)
        _histogram(axes[3], table["rlnCtfFigureOfMerit"], "figure of merit", GREY)
        axes[0].set_ylabel("micrographs")
    return figure


def _histogram(axes: Axes, values: Any, label: str, colour: str) -> None:
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    axes.hist(values, bins=min(40, max(5, round(np.sqrt(2 * values.size)))), color=colour)
    axes.set_xlabel(label)
    if values.size:
        axes.axvline(float(np.median(values)), color=INK, linewidth=1.0, linestyle="--")


def _caption(fit: CtfFit) -> str:
    defocus = fit.defocus
    phase = f", phase shift {defocus.phase_shift:.0f}°" if defocus.phase_shift else ""
    return (f"{defocus.u:.0f} / {defocus.v:.0f} Å at {defocus.angle:.0f}°{phase}; "
            f"rings to {fit.fit_resolution:.1f} Å")


def _smoothed(picture: np.ndarray) -> np.ndarray:
    """Average 3 x 3 pixels: single ones of a spectrum are noise to the eye."""
    padded = np.pad(picture, 1, mode="edge")
    rows, columns = picture.shape
    return np.mean([padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)], axis=0)
