"""Panels of refinements: FSC, iterations, viewing directions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.star import read_star
from cryosnake.json_files import read_json
from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.numerics.symmetry import operators
from cryosnake.pages.blocks.charts import Guide, Series, chart
from cryosnake.pages.blocks.panel import DOUBTFUL, GOOD, Panel
from cryosnake.pages.blocks.pictures import Gallery, Picture, colour_uri
from cryosnake.pages.panels.view import JobView, table_of
from cryosnake.pipeline.star_text import read_blocks

GOLD = 0.143  # FSC of half maps at the resolution
_ITERATION = re.compile(r"^iteration +(\d+): +(?:best class )?([\d.]+) Å", re.MULTILINE)


def refine_fsc(job: JobView) -> Panel | None:
    """Return the FSC of the half maps of a refinement."""
    if not Path(f"{job.root}_model.star").exists():
        return None
    tables = read_star(f"{job.root}_model.star")
    table = tables.get("model_class_1")
    if table is None or "rlnGoldStandardFsc" not in table.columns:
        return None
    frequency = table["rlnResolution"].to_numpy(float)[1:]
    resolution = float(tables["model_general"]["rlnCurrentResolution"].iloc[0])
    where = "inside the mask" if job.values.get("solvent_fsc") else "unmasked"
    directional = _views_of(job).get("curves", [])
    thin = [Series(name="" if number else "single directions", x=frequency[: len(curve) - 1], y=np.array(curve[1:]),
                   look="thin", colour=4) for number, curve in enumerate(directional)]
    main = Series(name=f"half maps, {where}", x=frequency, y=table["rlnGoldStandardFsc"].to_numpy(float)[1:])
    note = limited(main.y)
    return Panel(title="Fourier shell correlation", level=DOUBTFUL if note else "",
                 verdict=f"{resolution:.2f} Å at FSC {GOLD} ({where}).{note}", blocks=[
        chart("FSC of the half maps", ("resolution, Å", "FSC"), [*thin, main], x_kind="resolution", y_range=(0.0, 1.0),
              guides=fsc_guides(resolution))],
        caption="Two halves of the particles, refined apart. Good: close to 1, then one smooth fall to 0, directions "
        "close together. Bad: a bump after the fall, a plateau that never reaches 0 (duplicates, too tight a mask), "
        "directions that fan out (preferred views).")


def iterations(job: JobView) -> Panel | None:
    """Return the resolution after each iteration."""
    found = _from_log(job) or _from_models(job)
    if len(found) < 2:
        return None
    number, resolution = (np.array(column, float) for column in zip(*found, strict=True))
    return Panel(title="Iterations", verdict=f"{int(number[-1])} iterations, from {resolution[0]:.1f} to "
                 f"{resolution[-1]:.1f} Å.",
                 blocks=[chart("Resolution by iteration", ("iteration", "resolution, Å"),
                               [Series(name="resolution, Å", x=number, y=resolution, look="line"),
                                Series(name="", x=number, y=resolution, look="dots")])],
                 caption="Good: falls in steps and ends flat. Bad: still falling at the end (more iterations), or up "
                 "and down.")


def views(job: JobView) -> Panel | None:
    """Return the distribution of viewing directions."""
    if not Path(f"{job.root}_data.star").exists():
        return None
    table = table_of(f"{job.root}_data.star", "particles")
    rot, tilt = table["rlnAngleRot"].to_numpy(float), table["rlnAngleTilt"].to_numpy(float)
    picture, highest, empty = directions(rot, tilt, job.values.get("symmetry") or "C1")
    evenness = _views_of(job).get("evenness")
    verdict = (f"{len(table):,} particles; the most frequent direction has {highest:.1f} times the average; "
               f"{empty:.0%} of the directions have none."
               + (f" Evenness {evenness:.2f} (1 is even)." if evenness else ""))
    return Panel(title="Viewing directions", verdict=verdict, level=DOUBTFUL if empty > 0.25 else GOOD,
                 blocks=[Gallery(pictures=[picture], size="wide")],
                 caption="All directions on an equal-area map (Mollweide), with the symmetry applied. Good: colour "
                 "everywhere. Bad: a few bright spots on black; the map is then smeared along what is not seen.")


def limited(curve: np.ndarray) -> str:
    """Return a sentence where a curve (shells,) ends before it has fallen below 0.143, else ""."""
    if not len(curve) or curve[-1] < GOLD:
        return ""
    return (f" At the finest frequency the curve is still {curve[-1]:.2f}: the pixel size limits the resolution, not "
            "the particles. Extract them again with smaller pixels.")


def fsc_guides(resolution: float) -> list[Guide]:
    """Return lines at FSC 0.143 and at the resolution (Å)."""
    return [Guide(axis="y", value=GOLD, text=f"{GOLD}"),
            Guide(axis="x", value=1.0 / resolution, text=f"{resolution:.2f} Å")]


def _views_of(job: JobView) -> dict[str, Any]:
    """Return what a refinement says of its viewing directions; {} in jobs of RELION and of earlier versions."""
    path = Path(f"{job.root}_views.json")
    return dict(read_json(path)) if path.exists() else {}


def _from_log(job: JobView) -> list[tuple[int, float]]:
    try:
        text = (job.path / "run.out").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return sorted({int(number): float(value) for number, value in _ITERATION.findall(text)}.items())


def _from_models(job: JobView) -> list[tuple[int, float]]:
    found = {}
    for path in sorted(job.path.glob("run*_it[0-9][0-9][0-9]*_model.star")):
        number = re.search(r"_it(\d+)(?:_half1)?_model", path.name)
        if number is None:
            continue
        try:
            general = read_blocks(path, ("model_general",)).get("model_general")
            value = float((general.value("rlnCurrentResolution") if general else None) or "nan")
        except (CryosnakeError, ValueError):
            continue
        if 0 < value < 900:
            found[int(number[1])] = value
    return sorted(found.items())


def directions(rot: np.ndarray, tilt: np.ndarray, symmetry: str) -> tuple[Picture, float, float]:
    """Return a picture of viewing directions (n,) in degrees, its highest count over the mean, and how many are empty.

    The last is a share of bins of equal area.
    """
    image, highest, empty = _mollweide(rot, tilt, symmetry)
    picture = Picture(source=colour_uri(image), words="rot −180° to 180° from left to right, tilt 0° at the top",
                      more=f"dark: none; light: {highest:.1f} times the average", width=image.shape[1],
                      height=image.shape[0])
    return picture, highest, empty


def _mollweide(rot: np.ndarray, tilt: np.ndarray, symmetry: str) -> tuple[np.ndarray, float, float]:
    """Return the map of directions in colour, its highest count over the mean, and the share of empty bins."""
    from matplotlib import colormaps

    directions = euler_to_matrix(rot, tilt, np.zeros_like(rot))[:, 2]
    directions = np.einsum("ni,mij->mnj", directions, operators(symmetry)).reshape(-1, 3)
    bins = int(np.clip(np.sqrt(len(directions) / 16), 10, 40))
    edges = np.linspace(-1.0, 1.0, bins + 1), np.linspace(-np.pi, np.pi, 2 * bins + 1)
    counts, _, _ = np.histogram2d(directions[:, 2], np.arctan2(directions[:, 1], directions[:, 0]), edges)
    counts /= max(counts.mean(), 1e-12)
    height = 180
    y, x = np.mgrid[1.0:-1.0:height * 1j, -1.0:1.0:2j * height]
    theta = np.arcsin(y)
    sine = np.clip((2 * theta + np.sin(2 * theta)) / np.pi, -1.0, 1.0)
    around = np.divide(x, np.cos(theta), out=np.full_like(x, 2.0), where=np.cos(theta) > 1e-9)
    row = np.clip(((sine + 1) / 2 * bins).astype(int), 0, bins - 1)
    column = np.clip(((around + 1) * bins).astype(int), 0, 2 * bins - 1)
    highest = float(counts.max())
    image = colormaps["magma"](counts / max(highest, 1e-12))[row, column]
    image[..., 3] = np.abs(around) <= 1.0
    return image, highest, float(np.mean(counts == 0))
