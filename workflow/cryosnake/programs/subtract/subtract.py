"""Subtract: particle images without the signal outside a mask, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import writing_stack
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.forms import Progress
from cryosnake.jobs.options import SubtractOptions
from cryosnake.numerics.backend import choose_device
from cryosnake.parallel.ranks import Ranks
from cryosnake.parallel.world import world
from cryosnake.programs.maps.fitted_maps import Grid, fitted_mask
from cryosnake.programs.refinement.particles import ParticleSet, read_particles
from cryosnake.programs.subtract.images import Subtrahend, subtracted, subtrahend
from cryosnake.programs.subtract.memory import planned_block
from cryosnake.programs.subtract.recentring import centre_of_mass, moved_and_cut, origins_about, views_of
from cryosnake.programs.subtract.references import References, read_references
from cryosnake.programs.subtract.revert import BEFORE, CENTRE, SUBTRACTED, reverted

_POSE = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst")
_ORIGIN = _POSE[3:]
_PRIORS = ("rlnOriginXPriorAngst", "rlnOriginYPriorAngst")
_ORIGINAL = "rlnImageOriginalName"


@dataclass(frozen=True)
class Changes:
    """New names (n,) and origins (n, 2) in Å of all particles; box; the point (3,) that they were centred on, Å."""

    names: np.ndarray
    origins: np.ndarray
    box: int | None
    point: np.ndarray | None


@dataclass(frozen=True, kw_only=True)
class Images:
    """What is written: `shifts` (n, 2) are in whole pixels; `box`, where it is set; `block` images at a time."""

    taken: Subtrahend
    shifts: np.ndarray
    box: int | None
    block: int


def run(options: SubtractOptions, inputs: Mapping[str, str | Path], out: str | Path, progress: Progress) -> None:
    """Write particles_subtracted.star and the images below `out`, or original.star where `revert` is given.

    Raises
    ------
    CryosnakeError
        when a slot is missing, or particles, optimiser and mask do not fit together
    """
    folder, ranks = Path(out), world()
    if "revert" in inputs:
        if ranks.rank == 0:
            write_star(folder / "original.star", reverted(str(inputs["revert"])))
        return
    missing = [name for name in ("optimiser", "mask") if name not in inputs]
    if missing:
        raise CryosnakeError(f"subtract: {' and '.join(missing)} missing. Connect the optimiser of a Refine3D or "
                             "Class3D job and the mask of what is to be kept; or, to go back, only revert")
    references = read_references(str(inputs["optimiser"]))
    path = str(inputs.get("particles", references.particles))
    particles = _read_posed(path, references)
    mask = fitted_mask(inputs["mask"], Grid(references.box, references.pixel_size, references.words))
    box = options.new_box
    if box is not None:
        _check_box(box, particles)
    print(f"{particles.describe()}; predicted with {references.words}")
    block = planned_block(particles, references, options, ranks)
    taken = subtrahend(particles, references, mask, choose_device(options.device))
    _report_scales(taken)
    point = _point(options, mask, references)
    origins, shifts = _recentred(particles, point)
    images = Images(taken=taken, shifts=shifts, box=box, block=block)
    parts = ranks.gather(_write_images(folder, images, ranks, progress))
    if ranks.rank > 0:
        return
    names = np.concatenate([written for _, written in parts])[np.argsort(np.concatenate([rows for rows, _ in parts]))]
    _write_tables(folder, path, particles, Changes(names=names, origins=origins, box=box, point=point))


def _read_posed(path: str, references: References) -> ParticleSet:
    particles = read_particles(path, need_ctf=references.ctf)
    missing = [label for label in _POSE if label not in particles.table.columns]
    if missing:
        raise CryosnakeError(f"{path}: data_particles lacks {', '.join(missing)}. Subtract needs refined particles, "
                             "with poses")
    names = particles.table["rlnImageName"]
    halves = particles.column("rlnRandomSubset")
    if references.split and not np.isin(halves, (1, 2)).all():
        row = int(np.flatnonzero(~np.isin(halves, (1, 2)))[0])
        raise CryosnakeError(f"{path}: rlnRandomSubset of {names.iloc[row]} is {halves[row]:g}; each particle is "
                             "predicted from the map of its own half set, 1 or 2. Give particles of this Refine3D job")
    classes = particles.column("rlnClassNumber", 1.0)
    if references.classes > 1 and not ((classes >= 1) & (classes <= references.classes)).all():
        row = int(np.flatnonzero((classes < 1) | (classes > references.classes))[0])
        raise CryosnakeError(f"{path}: rlnClassNumber of {names.iloc[row]} is {classes[row]:g}, the optimiser has "
                             f"{references.classes} classes. Give particles of this classification")
    norms = particles.column("rlnNormCorrection", 1.0)
    if not (norms > 0).all():
        raise CryosnakeError(f"{path}: rlnNormCorrection of {names.iloc[int((norms <= 0).argmax())]} is not above 0. "
                             "Refine the particles again")
    return particles


def _check_box(box: int, particles: ParticleSet) -> None:
    if box % 2:
        raise CryosnakeError(f"subtract: new_box is {box}; the box must be even")
    smallest = min(group.box for group in particles.used_groups)
    if box > smallest:
        raise CryosnakeError(f"subtract: new_box is {box}, the images of {particles.path} have {smallest} pixels; "
                             "images can only be cut. Set a smaller new_box")


def _report_scales(taken: Subtrahend) -> None:
    known = {name for scales in taken.references.scales for name in scales}
    unknown = [name for name in taken.particles.group_names if name not in known]
    if unknown:
        print(f"{len(unknown)} of {len(taken.particles.group_names)} micrographs are not in the model (first: "
              f"{unknown[0]}); their grey scale is taken as 1")


def _point(options: SubtractOptions, mask: np.ndarray, references: References) -> np.ndarray | None:
    """Return the point (3,) of the map, Å from its centre, that images are centred on; None for no recentring."""
    if options.centre is not None:
        return np.array(options.centre) * references.pixel_size
    return centre_of_mass(mask) * references.pixel_size if options.recentre_on_mask else None


def _recentred(particles: ParticleSet, point: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return origins (n, 2) in Å, and the whole pixels (n, 2) by which images are moved."""
    origins = np.stack([particles.column(label) for label in _ORIGIN], 1)
    if point is None:
        return origins, np.zeros(origins.shape, np.int64)
    pixel = np.array([group.pixel_size for group in particles.groups])[particles.optics, None]
    wanted = origins_about(point, views_of(particles.poses(), particles.groups, particles.optics), origins)
    shifts = np.rint(wanted / pixel).astype(np.int64)
    return wanted - shifts * pixel, shifts


def _write_images(folder: Path, work: Images, ranks: Ranks, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    """Write a stack for each optics group, of this rank's share of the rows; return these and the images' names."""
    particles, done, whole = work.taken.particles, 0, len(work.taken.particles)
    names, written = np.empty(whole, object), []
    (folder / "Particles").mkdir(parents=True, exist_ok=True)
    for number in np.unique(particles.optics).tolist():
        rows = np.array_split(np.flatnonzero(particles.optics == number), ranks.size)[ranks.rank]
        if not len(rows):
            continue
        label = int(particles.tables["optics"]["rlnOpticsGroup"].iloc[number])
        of_rank = f"rank{ranks.rank + 1}_" if ranks.size > 1 else ""
        path = folder / "Particles" / f"subtracted_{of_rank}opticsgroup{label}.mrcs"
        group = particles.groups[number]
        size = work.box or group.box
        with writing_stack(path, (len(rows), size, size), group.pixel_size) as append:
            for block, images in subtracted(work.taken, number, rows, work.block):
                append(moved_and_cut(images, work.shifts[block], size))
                done += len(block)
                progress(min(done * ranks.size, whole), whole, f"optics group {label}")
        names[rows] = [f"{place:06d}@{path}" for place in range(1, len(rows) + 1)]
        written.append(rows)
    mine = np.concatenate(written) if written else np.empty(0, np.int64)
    return mine, names[mine]


def _write_tables(folder: Path, path: str, particles: ParticleSet, found: Changes) -> None:
    """Write the particles' rows, in their order, and what they were before."""
    optics, table = particles.tables["optics"].copy(), particles.table.drop(columns=[_ORIGINAL], errors="ignore")
    table[_ORIGINAL] = particles.table["rlnImageName"]
    table["rlnImageName"] = found.names
    if found.point is not None:
        columns = dict(zip(_ORIGIN, found.origins.T, strict=True))
        table = table.drop(columns=list(_PRIORS), errors="ignore").assign(**columns)
    if found.box is not None:
        optics["rlnImageSize"] = found.box
    point = np.zeros(3) if found.point is None else found.point
    tables = {name: each for name, each in read_star(path).items() if name in ("optics", "particles")}
    write_star(folder / BEFORE, {**tables, "centre": pd.DataFrame(point[None], columns=list(CENTRE))})
    write_star(folder / SUBTRACTED, {"optics": optics, "particles": table})
