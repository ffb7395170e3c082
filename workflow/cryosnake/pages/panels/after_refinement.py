"""Panels of what follows a refinement: the lens, how frames fade, and what was taken from images."""

from __future__ import annotations

from cryosnake.io.star_rows import count_rows
from cryosnake.pages.blocks.charts import Series, chart, histogram
from cryosnake.pages.blocks.panel import DOUBTFUL, GOOD, Panel, Table
from cryosnake.pages.panels.view import JobView

_LENS = "particles_ctf_refine.star"
_MUCH_TILT = 1.0  # mrad: more than well-aligned microscopes have
_MATRIX = tuple(f"rlnMagMat{row}{column}" for row in "01" for column in "01")


def lens(job: JobView) -> Panel | None:
    """Return beam tilt and magnification of each optics group, and the defocus of the particles."""
    if not job.has(_LENS):
        return None
    optics, particles = job.table(_LENS, "optics"), job.table(_LENS, "particles")
    rows, most = [], 0.0
    for _, group in optics.iterrows():
        tilt = [float(group.get(f"rlnBeamTilt{axis}", 0.0)) for axis in "XY"]
        most = max(most, *map(abs, tilt))
        matrix = [f"{float(group[label]):.4f}" for label in _MATRIX if label in group]
        rows.append((str(group["rlnOpticsGroupName"]), ", ".join(f"{value:.3f}" for value in tilt),
                     ", ".join(matrix) or "not fitted"))
    shown = [histogram("Defocus", "defocus U, µm", [("particles", particles["rlnDefocusU"].to_numpy(float) / 1e4, 0)],
                       y_label="particles")] if "rlnDefocusU" in particles else []
    return Panel(title="Lens", verdict=f"The beam is tilted by up to {most:.2f} mrad.", wide=True,
                 level=DOUBTFUL if most > _MUCH_TILT else GOOD, caption="Beam tilt x, y in mrad, and the matrix of the "
                 "magnification by rows. aberrations.png compares measured with fitted phases: they should look alike.",
                 blocks=[*shown, Table(titles=("optics group", "beam tilt", "magnification"), rows=rows)])


def fading(job: JobView) -> Panel | None:
    """Return how the signal of a movie's frames fades."""
    if not job.has("bfactors.star"):
        return None
    table = job.table("bfactors.star", "perframe_bfactors")
    frames = table["rlnMovieFrameNumber"].to_numpy(float) + 1
    factors = table["rlnBfactorUsedForSharpening"].to_numpy(float)
    best = int(frames[factors.argmax()])
    return Panel(title="Frames", verdict=f"Frame {best} has most of the fine details.",
                 caption="B-factor of each frame: the lower, the fewer fine details it adds. The first frames move, "
                 "the last ones are damaged. tracks.png shows the tracks of a few movies.",
                 blocks=[chart("Signal of the frames", ("frame", "B-factor, Å²"),
                               [Series(name="B-factor", x=frames, y=factors)])])


def subtracted(job: JobView) -> Panel | None:
    """Return how many images were made, and from what."""
    name = next((name for name in ("particles_subtracted.star", "original.star") if job.has(name)), "")
    if not name:
        return None
    back = name == "original.star"
    return Panel(title="Restored particles" if back else "Subtracted particles",
                 verdict=f"{count_rows(job.path / name):,} particles.", caption="Images are as they were before."
                 if back else "Of each image, what the map has outside the mask is gone; `revert` brings it back.")
