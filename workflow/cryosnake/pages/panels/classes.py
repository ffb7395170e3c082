"""Panels of 2D and 3D classes and of selections."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cryosnake.io.mrc import read_images, read_mrc
from cryosnake.pages.blocks.panel import BAD, DOUBTFUL, GOOD, Panel
from cryosnake.pages.blocks.pictures import Gallery, Picture, grey_uri, shrunk
from cryosnake.pages.panels.view import JobView, table_of
from cryosnake.report.panels.map import central_slices, content_window

_MOST_CLASSES = 100
_SIDE = 112  # px of a class average


def class_averages(job: JobView) -> Panel | None:
    """Return the class averages of the last iteration, the largest class first."""
    root = job.last_iteration()
    if not root or not Path(f"{root}_classes.mrcs").exists():
        return None
    averages, pixel_size = read_mrc(f"{root}_classes.mrcs")
    table = table_of(f"{root}_model.star", "model_classes")
    counts = _members(root, len(table))
    order = [index for index in np.argsort(-counts, kind="stable") if counts[index] > 0]
    inside = _circle(averages.shape[-1], (job.values.get("particle_diameter") or 0.0) / (pixel_size or 1.0))
    resolutions = table["rlnEstimatedResolution"].to_numpy(float)
    shown = [_average(averages[index], inside, f"{counts[index]:,} ({counts[index] / counts.sum():.0%})",
                      f"class {index + 1} · {_angstrom(resolutions[index])}") for index in order[:_MOST_CLASSES]]
    largest = counts.max() / max(counts.sum(), 1)
    best = min((resolutions[index] for index in order[:20]), default=0.0)
    return Panel(title="Class averages", blocks=[Gallery(pictures=shown, size="small")], wide=True,
                 level=DOUBTFUL if largest > 0.6 else "",
                 verdict=f"{counts.sum():,} particles in {len(order)} of {len(counts)} classes; the largest has "
                 f"{largest:.0%}; the best of the large ones shows {_angstrom(best)}.",
                 caption="Largest class first: particles, share, resolution. Good: several views with inner structure, "
                 "solvent flat around them. Bad: one class that takes most particles, rings, spots or featureless "
                 "discs, views that are all alike.")


def class_maps(job: JobView) -> Panel | None:
    """Return central slices of the maps of a 3D classification."""
    root = job.last_iteration()
    if not root or not Path(f"{root}_class002.mrc").exists():
        return None
    table = table_of(f"{root}_model.star", "model_classes")
    counts, resolutions = _members(root, len(table)), table["rlnEstimatedResolution"].to_numpy(float)
    shown = []
    for index in np.argsort(-counts, kind="stable")[:12]:
        volume = read_mrc(f"{root}_class{index + 1:03d}.mrc")[0]
        strip = np.hstack(list(central_slices(volume[content_window(volume)]).values()))
        shown.append(Picture(source=grey_uri(shrunk(strip, 480)[0]), width=strip.shape[1], height=strip.shape[0],
                             words=f"class {index + 1}: {counts[index]:,} ({counts[index] / max(counts.sum(), 1):.0%})",
                             more=_angstrom(resolutions[index]) if counts[index] else "empty"))
    return Panel(title="Maps of the classes", blocks=[Gallery(pictures=shown, size="large")], wide=True,
                 verdict=f"{counts.sum():,} particles in {int((counts > 0).sum())} of {len(counts)} classes.",
                 caption="Central slices XY, XZ and YZ. Good: classes that differ in something one can name. "
                 "Bad: one good map and copies that only have less signal, streaks along one direction.")


def selection(job: JobView) -> Panel | None:
    """Return the classes of a selection: first those that were kept."""
    if not job.has("class_selection.star"):
        return None
    table = job.table("class_selection.star", "class_selection")
    kept, members = table["rlnSelected"].to_numpy(bool), table["cryosnakeParticles"].to_numpy()
    images = read_images(table["rlnReferenceImage"].tolist())
    scores, resolutions = table["rlnClassScore"].to_numpy(float), table["rlnEstimatedResolution"].to_numpy(float)
    order = [index for index in np.lexsort((-members, ~kept)) if members[index] > 0][:_MOST_CLASSES]
    inside = _circle(images.shape[-1], 0.0)
    shown = [_average(images[index], inside, f"{members[index]:,}", f"class {index + 1} · score {scores[index]:.2f} · "
                      f"{_angstrom(resolutions[index])}", "kept" if kept[index] else "left_out") for index in order]
    column = "cryosnakeParticlesKept"
    passed = int(table[column].sum() if column in table.columns else members[kept].sum())
    share = passed / max(members.sum(), 1)
    return Panel(title="Selected classes", blocks=[Gallery(pictures=shown, size="small")], wide=True,
                 level=GOOD if share > 0.5 else DOUBTFUL if share > 0.15 else BAD,
                 verdict=f"{passed:,} of {members.sum():,} particles ({share:.0%}) in {int(kept.sum())} of {len(kept)} "
                 "classes were kept.",
                 caption="Kept classes first (✓), then those left out (✕), each with particles and score: 1 is a clear "
                 "view, below 0.5 junk. Bad: a rare view of the particle among those left out.")


def _average(image: np.ndarray, inside: np.ndarray, words: str, more: str, mark: str = "") -> Picture:
    low, high = np.percentile(image[inside], (0.3, 99.8))
    small = shrunk(image, _SIDE)[0]
    return Picture(source=grey_uri(small, (float(low), float(high))), words=words, more=more, mark=mark,
                   width=image.shape[1], height=image.shape[0])


def _members(root: str, classes: int) -> np.ndarray:
    """Return the particles of each class (classes,); from the model's shares where the particles are gone."""
    if Path(f"{root}_data.star").exists():
        numbers = table_of(f"{root}_data.star", "particles")["rlnClassNumber"].to_numpy()
        return np.bincount(numbers, minlength=classes + 1)[1:]
    shares = table_of(f"{root}_model.star", "model_classes")["rlnClassDistribution"].to_numpy(float)
    return np.round(1000 * shares).astype(int)


def _circle(box: int, diameter: float) -> np.ndarray:
    y, x = np.mgrid[:box, :box] - box // 2
    radius = diameter / 2 if 0 < diameter < box else box / 2
    return np.asarray(x * x + y * y <= radius * radius)


def _angstrom(value: float) -> str:
    return f"{value:.1f} Å" if np.isfinite(value) and 0 < value < 900 else "no resolution"
