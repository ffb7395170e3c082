"""Panels of one class of a classification: its slices, how far its signal reaches, from where it was seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cryosnake.io.mrc import read_mrc
from cryosnake.io.star import read_star
from cryosnake.pages.blocks.charts import Guide, Series, chart
from cryosnake.pages.blocks.panel import DOUBTFUL, GOOD, Panel
from cryosnake.pages.blocks.pictures import Gallery, Picture, grey_uri, shrunk
from cryosnake.pages.panels.refinement import GOLD, directions
from cryosnake.pages.panels.view import table_of
from cryosnake.report.panels.map import central_slices, content_window


def slices(path: str) -> Panel:
    """Return central slices of a class's map."""
    volume, _ = read_mrc(path)
    volume = volume[content_window(volume)]
    contrast = (float(np.percentile(volume, 1.0)), float(np.percentile(volume, 99.9)))
    shown = [Picture(source=grey_uri(shrunk(image, 320)[0], contrast), words=f"slice {name}", width=image.shape[1],
                     height=image.shape[0]) for name, image in central_slices(volume).items()]
    return Panel(title="Central slices", blocks=[Gallery(pictures=shown, size="three")], wide=True,
                 caption="Good: sharp inside, flat outside. Bad: streaks along one direction, rings, noise as strong "
                 "as the particle.")


def signal(model: str, number: int) -> Panel | None:
    """Return the FSC of a class, or where it has none how much of its power is signal; None without a table."""
    table = read_star(model).get(f"model_class_{number}")
    if table is None or "rlnResolution" not in table.columns:
        return None
    frequency = table["rlnResolution"].to_numpy(float)[1:]
    fsc = table["rlnGoldStandardFsc"].to_numpy(float)[1:] if "rlnGoldStandardFsc" in table.columns else np.zeros(0)
    if fsc.any():
        title, label, level, curve = "Fourier shell correlation", "FSC", GOLD, fsc
    elif "rlnSsnrMap" in table.columns:
        ssnr = np.maximum(table["rlnSsnrMap"].to_numpy(float)[1:], 0.0)
        title, label, level, curve = "Signal", "signal / (signal + noise)", 0.5, ssnr / (1.0 + ssnr)
    else:
        return None
    drawn = chart(title, ("resolution, Å", label), [Series(name=label, x=frequency, y=curve)], x_kind="resolution",
                  y_range=(0.0, 1.0), guides=[Guide(axis="y", value=level, text=f"{level:g}")])
    return Panel(title=title, blocks=[drawn],
                 caption="Good: one smooth fall. The class shows what lies left of where the curve crosses the line.")


def seen_from(particles: str, number: int, symmetry: str) -> Panel | None:
    """Return from which directions the particles of a class were seen; None in 2D, or without their table."""
    if not Path(particles).exists():
        return None
    table = table_of(particles, "particles")
    if not {"rlnAngleRot", "rlnAngleTilt", "rlnClassNumber"} <= set(table.columns):
        return None
    members = table[table["rlnClassNumber"].astype(int) == number]
    tilt = members["rlnAngleTilt"].to_numpy(float)
    if not len(members) or not tilt.any():  # 2D classes have no tilt
        return None
    picture, highest, empty = directions(members["rlnAngleRot"].to_numpy(float), tilt, symmetry)
    return Panel(title="Viewing directions", level=DOUBTFUL if empty > 0.25 else GOOD,
                 verdict=f"{len(members):,} particles; the most frequent direction has {highest:.1f} times the "
                 f"average; {empty:.0%} of the directions have none.",
                 blocks=[Gallery(pictures=[picture], size="wide")],
                 caption="Good: colour everywhere. Bad: a few bright spots on black.")
