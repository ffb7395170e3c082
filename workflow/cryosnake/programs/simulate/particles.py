"""Particle stacks with known poses, for tests of refinement: no micrographs, white noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import write_mrc
from cryosnake.io.star import write_star
from cryosnake.jobs.forms import Progress
from cryosnake.numerics.ctf import Defocus, Microscope
from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.numerics.filters import low_pass
from cryosnake.programs.simulate.false_picks import USUAL, false_kinds, replace_false_picks
from cryosnake.programs.simulate.settings import optics_row, silent
from cryosnake.simulation.aberrations import NONE, Aberrations
from cryosnake.simulation.atoms import Atoms
from cryosnake.simulation.density import density_from_atoms
from cryosnake.simulation.micrograph import (
    USUAL_MICROSCOPE,
    Optics,
    contrast_images,
    delocalised_box,
    random_poses,
)
from cryosnake.simulation.protein import pseudo_protein

_CHUNK = 64


@dataclass(frozen=True, kw_only=True)
class StackSettings:
    """Settings of a simulated particle stack; lengths in Å.

    `snr` is the variance of the noise-free images over the variance of the noise, over the whole box. `defocus` is the
    range of its mean and `astigmatism` the largest U - V, one value for each `per_micrograph` particles that share
    rlnMicrographName. `shift` is the standard deviation of the particles' offset from the centre along x and y.
    `b_factor` (Å²) is of the atoms and so of the true map. `prefix` precedes `particles.mrcs` in rlnImageName, for
    example "Extract/job001/". `false_picks` is the share of the images that are not particles but of
    `false_pick_kinds`: truth/particles.star says which in rlnClassNumber (0 a particle, 1 empty, 2 parts of
    neighbours, 3 contamination, 4 film edge, 5 blob). `aberrations` are those of the images, and stand in the optics
    table. The same seed gives the same bytes.
    """

    count: int = 500
    box: int = 64
    pixel_size: float = 4.425
    snr: float = 0.1
    symmetry: str = "D2"
    residues: int = 960
    defocus: tuple[float, float] = (8000.0, 20000.0)
    astigmatism: float = 400.0
    shift: float = 8.0
    b_factor: float = 80.0
    per_micrograph: int = 100
    prefix: str = ""
    false_picks: float = 0.0
    false_pick_kinds: Sequence[int] = USUAL
    aberrations: Aberrations = NONE
    microscope: Microscope = USUAL_MICROSCOPE
    seed: int = 1


def simulate_particles(folder: str | Path, settings: StackSettings, *, atoms: Atoms | None = None,
                       progress: Progress = silent) -> None:
    """Write particles as RELION's extraction leaves them, and their truth.

    `folder` gets particles.mrcs (white protein; mean 0 and standard deviation 1 outside the circle of 0.75 · box / 2),
    particles.star (optics and CTF, no poses), reference.mrc (the density low-passed at 40 Å) and truth/: particles.star
    (with poses and origins) and map.mrc, whose projections, times the CTF, are the particles' noise-free images.
    Without `atoms` the particle is `pseudo_protein(symmetry, residues, seed)`.

    Raises
    ------
    CryosnakeError
        when the box is odd
    """
    count, box, pixel_size = settings.count, settings.box, settings.pixel_size
    if box % 2:
        raise CryosnakeError(f"simulate: box {box} is odd; use an even number of pixels.")
    folder = Path(folder)
    (folder / "truth").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([settings.seed, 0])
    if atoms is None:
        atoms = pseudo_protein(settings.symmetry, settings.residues, settings.seed)
    optics = Optics(pixel_size, settings.microscope, b_factor=0.0, aberrations=settings.aberrations)
    table = _random_table(rng, settings)
    signal = _signal(atoms, table, box, optics, settings.b_factor, progress)
    noise = float(np.sqrt(signal.var() / settings.snr))
    if settings.false_picks > 0:
        own = np.random.default_rng([settings.seed, 1])  # the particles do not depend on the false picks
        kinds = false_kinds(own, count, settings.false_picks, settings.false_pick_kinds)
        replace_false_picks(signal, kinds, own, atoms, table, optics, settings.b_factor)
        table["rlnClassNumber"] = kinds
    images = signal / np.float32(noise) + rng.standard_normal(signal.shape, dtype=np.float32)
    write_mrc(folder / "particles.mrcs", _normalised(images), pixel_size, stack=True)
    density = density_from_atoms(atoms, box, pixel_size, settings.b_factor)
    density *= np.float32(2.0 * optics.interaction * pixel_size / noise)
    write_mrc(folder / "truth/map.mrc", density, pixel_size)
    write_mrc(folder / "reference.mrc", low_pass(density, 40.0, pixel_size), pixel_size)
    table.insert(0, "rlnImageName", [f"{number:06d}@{settings.prefix}particles.mrcs" for number in range(1, count + 1)])
    groups = pd.DataFrame([{**optics_row(pixel_size, optics.microscope), "rlnImagePixelSize": pixel_size,
                            "rlnImageSize": box, "rlnImageDimensionality": 2,
                            **settings.aberrations.columns()}])
    write_star(folder / "truth/particles.star", {"optics": groups, "particles": table})
    poses = [label for label in table if str(label).startswith(("rlnAngle", "rlnOrigin", "rlnClass"))]
    write_star(folder / "particles.star", {"optics": groups, "particles": table.drop(columns=poses)})
    progress(count, count, "done")


def _random_table(rng: np.random.Generator, settings: StackSettings) -> pd.DataFrame:
    """Return the particles' rows: micrograph, CTF, pose, origin."""
    micrograph = np.arange(settings.count) // settings.per_micrograph
    several = int(micrograph[-1]) + 1
    mean, half = rng.uniform(*settings.defocus, several), 0.5 * rng.uniform(0.0, settings.astigmatism, several)
    azimuth = rng.uniform(0.0, 180.0, several)
    angles = random_poses(rng, settings.count)
    origins = rng.normal(0.0, settings.shift, (settings.count, 2))
    return pd.DataFrame({
        "rlnMicrographName": [f"micrograph_{number + 1:04d}.mrc" for number in micrograph], "rlnOpticsGroup": 1,
        "rlnDefocusU": (mean + half)[micrograph], "rlnDefocusV": (mean - half)[micrograph],
        "rlnDefocusAngle": azimuth[micrograph], "rlnPhaseShift": 0.0,
        "rlnAngleRot": angles[:, 0], "rlnAngleTilt": angles[:, 1], "rlnAnglePsi": angles[:, 2],
        "rlnOriginXAngst": origins[:, 0], "rlnOriginYAngst": origins[:, 1]})


def _signal(atoms: Atoms, table: pd.DataFrame, box: int, optics: Optics, b_factor: float, progress: Progress,
            ) -> np.ndarray:
    """Return the noise-free images (n, box, box); what the CTF spreads beyond the box is lost, as in extraction."""
    columns = {name: table[name].to_numpy() for name in table}
    matrices = euler_to_matrix(columns["rlnAngleRot"], columns["rlnAngleTilt"], columns["rlnAnglePsi"])
    # RELION's origin is the shift that centres a particle, so the particle lies at minus that.
    shifts = -np.stack([columns["rlnOriginXAngst"], columns["rlnOriginYAngst"]], 1) / optics.pixel_size
    room = max(2 * box, delocalised_box(atoms, optics, float(columns["rlnDefocusU"].max())))
    cut = slice(room // 2 - box // 2, room // 2 + box // 2)
    images = np.empty((len(table), box, box), np.float32)
    for start in range(0, len(table), _CHUNK):
        progress(start, len(table), "particles")
        part = slice(start, start + _CHUNK)
        own = Defocus(*(columns[name][part, None, None] for name in
                        ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnPhaseShift")))
        images[part] = contrast_images(atoms, matrices[part], shifts[part], room, optics, own, b_factor)[:, cut, cut]
    return images


def _normalised(images: np.ndarray) -> np.ndarray:
    """Return the images with mean 0 and standard deviation 1 outside the circle of radius 0.75 · box / 2."""
    box = images.shape[-1]
    axis = np.arange(box) - box // 2
    outside = axis[:, None] ** 2 + axis[None] ** 2 > (0.375 * box) ** 2
    background = images[:, outside]
    mean, spread = background.mean(1, keepdims=True), background.std(1, keepdims=True)
    return np.asarray((images - mean[..., None]) / spread[..., None], np.float32)
