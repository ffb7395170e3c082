"""Tracks of particles through a movie, and how its frames count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cryosnake.report.panels.figures import BLUE, INK, ORANGE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LENGTH = 0.08  # of the field: the longest track is drawn so long


def particle_tracks(movies: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Return pictures of movies, by their names: coordinates (p, 2) in Å and tracks (p, f, 2), displacements in Å.

    Tracks are magnified; a dot is where they begin.
    """
    with new_figure(3.3 * len(movies) + 0.3, 3.7) as figure:
        for axes, (name, (places, tracks)) in zip(figure.subplots(1, len(movies), squeeze=False)[0], movies.items(),
                                                  strict=True):
            moved = tracks - tracks[:, :1]
            field = max(float(np.ptp(places, axis=0).max()), 1.0)
            longest = max(float(np.linalg.norm(moved, axis=-1).max()), 1e-3)
            magnified = places[:, None] + moved * (_LENGTH * field / longest)
            for track in magnified:
                axes.plot(track[:, 0], track[:, 1], color=BLUE, linewidth=0.9)
            axes.plot(places[:, 0], places[:, 1], ".", color=ORANGE, markersize=3)
            axes.set_aspect("equal")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_title(f"{name}\nlongest track {longest:.1f} Å", fontsize=8, color=INK)
    return figure


def frame_weights(falls: Sequence[tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Return curves of B-factors, Å², and logarithms of amplitudes (f,) of frames; a pair for each exposure."""
    with new_figure(7.2, 3.0) as figure:
        left, right = figure.subplots(1, 2)
        for b_factors, amplitudes in falls:
            frames = np.arange(1, len(b_factors) + 1)
            left.plot(frames, b_factors, ".-", linewidth=1.0)
            right.plot(frames, amplitudes, ".-", linewidth=1.0)
        for axes, title in ((left, "B-factor of the frame, Å²"), (right, "logarithm of its amplitude")):
            axes.set_xlabel("frame")
            axes.set_title(title, fontsize=9)
    return figure
