"""Panels of jobs that work per micrograph: motion, CTF, picks, particles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cryosnake.io.movies import read_image
from cryosnake.io.mrc import read_images
from cryosnake.io.star import read_star
from cryosnake.pages.blocks.charts import Guide, course, histogram
from cryosnake.pages.blocks.panel import BAD, DOUBTFUL, GOOD, Panel, Table
from cryosnake.pages.blocks.pictures import Gallery, MarkedPicture, Picture, grey_uri, shrunk
from cryosnake.pages.panels.view import JobView
from cryosnake.project.records.movies import NOT_IMPORTED
from cryosnake.report.panels.ctf import rejected_values
from cryosnake.report.panels.particles import smooth

_CURATED_BY = {"rlnCtfMaxResolution": "resolution of the fit, Å", "rlnDefocusU": "defocus U, Å",
               "rlnAccumMotionTotal": "motion in total, px"}
LEFT_OUT = "failed_micrographs.star"
_MOST_NAMED = 30  # micrographs that are named one by one
_SHOWN_WIDTH = 640  # px of a micrograph
_USUAL_DIAMETER = 150.0  # Å, where no picking says it
_LARGE_MOTION, _POOR_FIT = 100.0, 8.0  # Å: what users of single-particle data leave out


def not_imported(job: JobView) -> Panel | None:
    """Return the movies that the last run of an import left out, with the reasons."""
    if not job.has(NOT_IMPORTED):
        return None
    lines = (job.path / NOT_IMPORTED).read_text(encoding="utf-8", errors="replace").splitlines()
    rows = [(name, reason) for name, _, reason in (line.partition("\t") for line in lines)]
    return Panel(title="Not imported", wide=True, level=DOUBTFUL,
                 verdict=f"{len(rows):,} file{'s' * (len(rows) > 1)}, at the last run.",
                 blocks=[Table(titles=("file", "why"), rows=rows[:_MOST_NAMED])],
                 caption="Files that are still growing or are cut off, and names that can't be used. They are "
                 "imported as soon as they can be.")


def motion(job: JobView) -> Panel | None:
    """Return histogram and course of the accumulated motion."""
    if not job.has("corrected_micrographs.star"):
        return None
    table, pixel_size, unit = job.table("corrected_micrographs.star", "micrographs"), 1.0, "px"
    if "rlnOpticsGroup" in table.columns:
        optics = job.table("corrected_micrographs.star", "optics")
        pixel_size, unit = float(optics["rlnMicrographOriginalPixelSize"][0]), "Å"
    if "rlnAccumMotionTotal" not in table.columns:
        return None  # of RELION before 3.0
    total, early, late = (table[f"rlnAccumMotion{name}"].to_numpy(float) * pixel_size
                          for name in ("Total", "Early", "Late"))
    middle, many = float(np.median(total)), float(np.mean(total > _LARGE_MOTION))
    verdict = (f"Median {middle:.1f} {unit} in total: {np.median(early):.1f} early, {np.median(late):.1f} late in the "
               f"exposure. {many:.0%} of {len(total):,} movies moved more than {_LARGE_MOTION:.0f} {unit}.")
    guides = [Guide(axis="x", value=middle, text=f"median {middle:.1f}")]
    return Panel(title="Motion during the exposure", verdict=verdict, wide=True,
                 level=GOOD if many < 0.1 else DOUBTFUL if many < 0.3 else BAD,
                 caption="How far the specimen moved, added up over the frames. Good: nearly all movies below 50 Å, "
                 "most of it in the first frames. Bad: a long tail, or steps in the course, which are signs of a loose "
                 "grid, of charging, or of a stage that had not settled.",
                 blocks=[histogram("Accumulated motion", f"motion, {unit}", [("", total, 0)], guides=guides),
                         course("Motion in the order of the session", f"motion, {unit}", total)])


def ctf(job: JobView) -> Panel | None:
    """Return defocus, resolution of the fit, its course, and what was left out."""
    if not job.has("micrographs_ctf.star"):
        return None
    table = job.table("micrographs_ctf.star", "micrographs")
    reasons = _left_out(job)
    rejected = rejected_values([reason for _, reason in reasons])
    u, v = table["rlnDefocusU"].to_numpy(float), table["rlnDefocusV"].to_numpy(float)
    defocus = 0.5 * (u + v) / 1e4
    blocks: list[object] = [histogram("Defocus", "mean defocus, µm", [("kept", defocus, 0), (
        "left out", rejected[:, 0] / 1e4, 3)][: 1 + bool(len(rejected))])]
    verdict = f"Defocus {np.percentile(defocus, 5):.2f} to {np.percentile(defocus, 95):.2f} µm (5 to 95 %)."
    level = ""
    if "rlnCtfMaxResolution" in table.columns:
        fit = table["rlnCtfMaxResolution"].to_numpy(float)
        poor = float(np.mean(fit > _POOR_FIT))
        verdict += f" Fits reach {np.median(fit):.1f} Å (median); {poor:.0%} end before {_POOR_FIT:.0f} Å."
        level = GOOD if poor < 0.15 else DOUBTFUL if poor < 0.4 else BAD
        blocks += [histogram("Resolution of the fit", "Å", [("kept", fit, 0), ("left out", rejected[:, 1], 3)][
            : 1 + bool(len(rejected))]), course("Resolution in the order of the session", "fit resolution, Å", fit)]
    blocks.append(histogram("Astigmatism", "Å", [("kept", np.abs(u - v), 0), ("left out", rejected[:, 2], 3)][
        : 1 + bool(len(rejected))]))
    verdict += f" {len(reasons):,} micrographs were left out." if reasons else " No micrograph was left out."
    return Panel(title="Contrast transfer function", verdict=verdict, level=level, wide=True,
                 caption="Good: defocus spread over a range, fits that reach 4 to 6 Å or Nyquist, astigmatism of a few "
                 "hundred Å. Bad: fits that end early (thick ice, drift), a step in the course (the beam was aligned "
                 "again), astigmatism that grows.", blocks=blocks)


def curated(job: JobView) -> Panel | None:
    """Return how many micrographs were accepted, and by which values they differ from the others."""
    if not job.has("micrographs.star", "micrographs_rejected.star"):
        return None
    kept, left = (job.table(name, "micrographs") for name in ("micrographs.star", "micrographs_rejected.star"))
    shown = [(label, words) for label, words in _CURATED_BY.items() if label in kept and label in left]
    blocks = [histogram(words.partition(",")[0].capitalize(), words, [("accepted", kept[label].to_numpy(float), 0), (
        "left out", left[label].to_numpy(float), 3)]) for label, words in shown]
    return Panel(title="Accepted micrographs", blocks=blocks, wide=True,
                 verdict=f"{len(kept):,} of {len(kept) + len(left):,} micrographs were accepted, {len(left):,} left "
                 "out.",
                 caption="Nothing is deleted: both sets are outputs, and another choice makes another job.")


def left_out(job: JobView) -> Panel | None:
    """Return the micrographs that were left out, with the reasons."""
    reasons = _left_out(job)
    if not reasons:
        return None
    kinds = Counter(reason.partition("(found:")[0].strip(" .:;") for _, reason in reasons)
    named = [(Path(name).name, reason) for name, reason in reasons[:_MOST_NAMED]]
    blocks: list[object] = []
    if 1 < len(kinds) < len(reasons):
        blocks.append(Table(titles=("micrographs", "why"), rows=[(f"{count:,}", kind) for kind, count in
                                                                 kinds.most_common(12)]))
    blocks.append(Table(titles=("micrograph", "why"), rows=named))
    more = f" The first {_MOST_NAMED} of {len(reasons):,}:" if len(reasons) > _MOST_NAMED else ""
    return Panel(title="Left out", verdict=f"{len(reasons):,} micrographs.{more}", blocks=blocks, wide=True,
                 caption=f"They are listed in {job.path / LEFT_OUT}; `cryosnake retry {job.path}` tries them again.")


def picks(job: JobView) -> Panel | None:
    """Return the micrograph with the median number of picks, and the picks per micrograph."""
    file = "manualpick.star" if job.folder == "ManualPick" else "autopick.star"
    if not job.has(file):
        return None
    table = job.table(file, "coordinate_files")
    counts = np.array([_rows(path) for path in table["rlnMicrographCoordinates"]])
    middle = int(np.argsort(counts)[len(counts) // 2])
    blocks: list[object] = [histogram("Picks per micrograph", "picks", [("", counts.astype(float), 0)]),
                            course("Picks in the order of the session", "picks", counts.astype(float))]
    name = table["rlnMicrographName"][middle]
    if Path(name).exists():
        blocks.insert(0, _marked(job, name, table["rlnMicrographCoordinates"][middle], int(counts[middle])))
    empty = int((counts == 0).sum())
    verdict = f"{counts.sum():,} picks on {len(counts):,} micrographs, median {int(np.median(counts)):,}"
    return Panel(title="Picks", verdict=f"{verdict}{f'; none on {empty:,}' if empty else ''}.",
                 level=DOUBTFUL if empty > 0.1 * len(counts) else "", wide=True, blocks=blocks,
                 caption="The micrograph with the median number of picks, blurred so that particles are visible. Good: "
                 "a circle around nearly every particle, none on ice, carbon or the edge of holes. Some false picks do "
                 "no harm, because classification removes them; missed views do.")


def particles(job: JobView) -> Panel | None:
    """Return some of the extracted particles, taken at even intervals."""
    if not job.has("particles.star"):
        return None
    names = job.table("particles.star", "particles")["rlnImageName"].to_numpy()
    images = read_images(list(names[np.linspace(0, len(names) - 1, min(16, len(names))).astype(int)]))
    box = images.shape[-1]
    shown = [Picture(source=grey_uri(shrunk(image, 128)[0]), words="", width=box, height=box) for image in images]
    return Panel(title="Particles", verdict=f"{len(images)} of {len(names):,}, at even intervals; box {box} px.",
                 wide=True, caption="Good: one particle in the middle of each box, light on grey. Bad: dark particles "
                 "(inverted contrast), neighbours, edges of holes.", blocks=[Gallery(pictures=shown, size="small")])


def _marked(job: JobView, name: str, coordinates: str, count: int) -> MarkedPicture:
    image, pixel_size = read_image(name)
    small, factor = shrunk(smooth(image, pixel_size), _SHOWN_WIDTH)
    found = read_star(coordinates).get("")
    places = [] if found is None else list(zip(found["rlnCoordinateX"], found["rlnCoordinateY"], strict=True))
    diameter = picked_diameter(job.values)
    height, width = small.shape
    length = next(step for step in (2000.0, 1000.0, 500.0, 200.0, 100.0) if step <= 0.3 * width * factor * pixel_size
                  or step == 100.0)
    shown = Picture(source=grey_uri(small), words=f"{Path(name).name}: {count:,} picks", width=width, height=height)
    return MarkedPicture(picture=shown,
                         circles=[(float(x) / factor, height - float(y) / factor) for x, y in places],
                         radius=diameter / pixel_size / factor / 2, bar=length / pixel_size / factor,
                         bar_text=f"{length / 10:g} nm")


def picked_diameter(values: Mapping[str, Any]) -> float:
    """Return the diameter (Å) of the circles around picks: the largest of a range, one that is usual without any."""
    stated = values.get("diameter")
    return float(stated[-1] if isinstance(stated, list | tuple) else stated) if stated else _USUAL_DIAMETER


def _rows(path: str) -> int:
    from cryosnake.io.star_rows import count_rows

    return count_rows(path, ("",)) if Path(path).exists() else 0


def _left_out(job: JobView) -> list[tuple[str, str]]:
    """Return the names of micrographs that were left out, with the reasons."""
    if not job.has(LEFT_OUT):
        return []
    table = job.table(LEFT_OUT, "left_out")
    return [(name, reason.removeprefix(f"{name}: ")) for name, reason in zip(
        table.iloc[:, 0].astype(str), table["csnReason"].astype(str), strict=True)]
