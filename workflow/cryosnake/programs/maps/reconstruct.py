"""Maps from particles with known poses: a weighted back-projection of all, and of each half set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import write_mrc
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.images import fourier_pixels
from cryosnake.numerics.refine.sums.insertion import empty_sums, insert_slices
from cryosnake.numerics.refine.sums.least_squares import least_squares_map
from cryosnake.numerics.refine.sums.maximisation import finish_sums
from cryosnake.numerics.symmetry import operators
from cryosnake.programs.refinement.particles import Particles, read_particles

_BLOCK = 256


def backproject(particles: Particles, rows: np.ndarray, *, use_ctf: bool = True,
                progress: Callable[[int, int, str], None] | None = None) -> np.ndarray:
    """Return sums (threads, …) of the images of `rows` at the poses that the STAR file gives."""
    band = full_band(particles.box)
    sums = empty_sums(particles.box // 2)[None]
    poses, offsets = particles.poses(), particles.offsets()
    for begin in range(0, len(rows), _BLOCK):
        block = rows[begin : begin + _BLOCK]
        images = fourier_pixels(particles.images(block), band) * band.phases(offsets[block])
        ctf = particles.ctf(block, band) if use_ctf else np.ones(images.shape, np.float32)
        weighted = images * ctf
        insert_slices(sums, poses[block], band.kx, band.ky, np.ascontiguousarray(weighted.real),
                      np.ascontiguousarray(weighted.imag), ctf**2)
        if progress:
            progress(min(begin + _BLOCK, len(rows)), len(rows), "back-projection")
    return sums




def reconstruct(path: str | Path, out: str | Path, symmetry: str = "C1", *, use_ctf: bool = True,
                progress: Callable[[int, int, str], None] | None = None) -> dict[str, Path]:
    """Write `<out>_class001.mrc`, and with half sets `<out>_half1_class001_unfil.mrc` and half2.

    Parameters
    ----------
    path
        Particle STAR file with angles, origins and, for half maps, rlnRandomSubset.
    out
        Root of the output names, e.g. Reconstruct/job012/run.
    symmetry
        Point group.

    Returns
    -------
    dict
        "map", and "half1", "half2" where there are half sets, to their paths.
    """
    particles = read_particles(path, need_ctf=use_ctf)
    group, halves = operators(symmetry), particles.column("rlnRandomSubset").astype(int)
    parts = {f"half{h}": np.flatnonzero(halves == h) for h in (1, 2)} if {1, 2} <= set(halves) else {}
    if parts and not np.isin(halves, (1, 2)).all():
        raise CryosnakeError(f"{path}: rlnRandomSubset is 1 or 2 for some particles only; fill the column or "
                             "remove it")
    written, total = {}, None
    for name, rows in (parts or {"map": np.arange(len(particles))}).items():
        sums = finish_sums(backproject(particles, rows, use_ctf=use_ctf, progress=progress), group)
        total = sums if total is None else total + sums
        if name != "map":
            written[name] = _write(sums, particles, Path(f"{out}_{name}_class001_unfil.mrc"))
    assert total is not None
    written["map"] = _write(total, particles, Path(f"{out}_class001.mrc"))
    return written


def _write(sums: np.ndarray, particles: Particles, path: Path) -> Path:
    write_mrc(path, least_squares_map(sums, particles.box // 2, particles.box), particles.pixel_size)
    return path
