"""The particles of a CtfRefine job as units of work, checked."""

from __future__ import annotations

import numpy as np

from cryosnake.digests import digest_of_images
from cryosnake.errors import CryosnakeError
from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.parallel.stacks import StackImages
from cryosnake.programs.ctfrefine.units import Unit, kept_name
from cryosnake.programs.refinement.particle_checks import refuse_blank
from cryosnake.programs.refinement.particles import ParticleSet, read_particles

_POSE = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst", "rlnRandomSubset")


def read_posed(path: str) -> ParticleSet:
    """Return refined particles.

    Raises
    ------
    CryosnakeError
        when they have no poses, half sets or micrographs, besides what `read_particles` raises
    """
    particles = read_particles(path)
    missing = [label for label in (*_POSE, "rlnMicrographName") if label not in particles.table.columns]
    if missing:
        raise CryosnakeError(f"{path}: data_particles lacks {', '.join(missing)}. Connect the particles of a "
                             "Refine3D job (run_data.star), with poses and half sets")
    halves = particles.column("rlnRandomSubset")
    if not np.isin(halves, (1, 2)).all():
        row = int(np.flatnonzero(~np.isin(halves, (1, 2)))[0])
        raise CryosnakeError(f"{path}: rlnRandomSubset of {particles.table['rlnImageName'].iloc[row]} is "
                             f"{halves[row]:g}; each particle is predicted from the map of its own half set, 1 or 2. "
                             "Connect run_data.star of a Refine3D job")
    return particles


def units_of(particles: ParticleSet) -> list[Unit]:
    """Return the units of all particles, in the order of micrographs and optics groups."""
    table = particles.table
    names, micrograph = np.unique(table["rlnMicrographName"].to_numpy(str), return_inverse=True)
    key = micrograph * len(particles.groups) + particles.optics
    matrices = euler_to_matrix(*(particles.column(label) for label in _POSE[:3]))
    origins = np.stack([particles.column(label) for label in _POSE[3:5]], 1)
    halves, images = particles.column("rlnRandomSubset").astype(np.int64), table["rlnImageName"].to_numpy(str)
    found = []
    for value in np.unique(key):
        rows, group = np.flatnonzero(key == value), int(value) % len(particles.groups)
        stacks = sorted({str(name).partition("@")[2] for name in images[rows]})
        listed = [*images[rows].tolist(), *map(_signed, stacks)]
        poses = np.concatenate([matrices[rows].ravel(), origins[rows].ravel(), halves[rows].astype(float)])
        found.append(Unit(
            name=kept_name(str(names[int(value) // len(particles.groups)]), group + 1, True), group=group, rows=rows,
            stack=StackImages(particles.path, images[rows].tolist(), particles.groups[group].box, refuse_blank),
            matrices=matrices[rows], origins=origins[rows], halves=halves[rows],
            identity=f"{listed}{poses.tobytes().hex()}"))
    return found


def _signed(stack: str) -> str:
    try:
        return f"{stack}:{digest_of_images(stack)}"
    except OSError:  # reading it says what is wrong
        return stack
