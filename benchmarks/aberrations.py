#!/usr/bin/env python3
"""Refine3D on particles with known aberrations, applied and not, beside the same particles without: shell of FSC 0.5.

    python benchmarks/aberrations.py [--particles 400] [--box 96] [--snr 0.06] [--seed 1] [--folder build/aberrations]

The particles have a beam tilt of 0.5 mrad, odd and even Zernike terms of 1.5 rad at the Nyquist frequency, 3 Å, and a
magnification that differs by 0.3 %. Same atoms, poses and noise in all three. Prints for each the shell at which the
FSC with the truth falls below 0.5 (aligned first; within the particle's diameter), and the mean FSC; ends with 1 if the
particles with aberrations, applied, are more than one shell from those without. What is done in the folder is not done
again.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import sys
from pathlib import Path

import numpy as np

from cryosnake.io.mrc import read_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.refine3d import JOB
from cryosnake.numerics.alignment import align_maps
from cryosnake.numerics.fsc import fsc
from cryosnake.numerics.refine.grids.images import soft_disc
from cryosnake.programs.refine3d import recipe as refine3d
from cryosnake.programs.refinement.particles import MASK_EDGE
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles
from cryosnake.simulation.aberrations import NONE, Aberrations

PIXEL_SIZE, DIAMETER, LOW_PASS, RESIDUES = 1.5, 120.0, 20.0, 900
NYQUIST = 0.5 / PIXEL_SIZE
ODD, EVEN = 1.5 / NYQUIST**3, 1.5 / NYQUIST**4
KNOWN = Aberrations(  # each term of 1.5 rad at most, at Nyquist; terms of lower order as CtfRefine leaves them
    beam_tilt=(0.4, -0.3), odd=(0.0, 0.0, 0.6 * ODD, 0.0, 0.0, -0.8 * ODD),
    even=(0.0, 0.0, 0.0, 0.0, 0.6 * EVEN, 0.0, 0.0, 0.0, -0.8 * EVEN),
    magnification=((1.0015, 0.0), (0.0, 0.9985)))
OPTICS = ("rlnBeamTilt", "rlnOddZernike", "rlnEvenZernike", "rlnMagMat")


def particles(folder: Path, aberrations: Aberrations, given: argparse.Namespace) -> None:
    """Simulate particles in a folder, unless they are there."""
    if not (folder / "particles.star").exists():
        folder.mkdir(parents=True, exist_ok=True)
        simulate_particles(folder, StackSettings(
            count=given.particles, box=given.box, pixel_size=PIXEL_SIZE, snr=given.snr, residues=RESIDUES, shift=4.0,
            defocus=(6000.0, 15000.0), b_factor=20.0, aberrations=aberrations, seed=given.seed))


def without_columns(folder: Path) -> None:
    """Write ignored.star, in which nothing is said of aberrations."""
    tables = read_star(folder / "particles.star")
    there = [name for name in tables["optics"] if name.startswith(OPTICS)]
    write_star(folder / "ignored.star", tables | {"optics": tables["optics"].drop(columns=there)})


def refined(folder: Path, star: str) -> Path:
    """Refine particles of a folder, unless that has been done; return where its files are."""
    out = folder / Path(star).stem
    if not (out / "run_class001.mrc").exists():
        out.mkdir(exist_ok=True)
        options = JOB.options(particle_diameter=DIAMETER, initial_lowpass=LOW_PASS, symmetry="D2")
        with open(out / "log.txt", "w") as log, contextlib.redirect_stdout(log), contextlib.chdir(folder):
            refine3d.run(options, {"particles": star, "reference": "truth/map.mrc"}, out.name,
                         lambda done, total, message: None)
    return out


def shell_of(folder: Path, star: str) -> tuple[int, float]:
    """Return the shell at which the FSC of a refinement's map with the truth falls below 0.5, and its mean."""
    truth = read_mrc(folder / "truth/map.mrc")[0]
    found = read_mrc(refined(folder, star) / "run_class001.mrc")[0]
    ball = soft_disc(len(truth), DIAMETER / 2 / PIXEL_SIZE, MASK_EDGE, 3)
    curve = fsc(align_maps(found, truth)[0] * ball, truth * ball)
    below = np.flatnonzero(curve[1:] < 0.5)
    return (int(below[0]) if below.size else len(curve) - 1), float(curve[1:].mean())


def main() -> int:
    """Simulate, refine and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, kind, default in (("particles", int, 400), ("box", int, 96), ("snr", float, 0.06), ("seed", int, 1),
                                ("folder", Path, Path("build/aberrations"))):
        parser.add_argument(f"--{name}", type=kind, default=default)
    given = parser.parse_args()
    root = given.folder.resolve() / f"{given.particles}_{given.box}_{given.snr:g}_{given.seed}"
    shells = {}
    for name, folder, star, aberrations in (("without aberrations", "none", "particles.star", NONE),
                                            ("with aberrations, applied", "known", "particles.star", KNOWN),
                                            ("with aberrations, ignored", "known", "ignored.star", KNOWN)):
        particles(root / folder, aberrations, given)
        if star == "ignored.star":
            without_columns(root / folder)
        shells[name], mean = shell_of(root / folder, star)
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(f"{name}: FSC 0.5 with the truth to shell {shells[name]} of {given.box // 2}, mean FSC {mean:.3f}; "
              f"{used.ru_utime + used.ru_stime:.0f} CPU s so far", flush=True)
    apart = shells["without aberrations"] - shells["with aberrations, applied"]
    print(f"seed {given.seed}: {apart} shell(s) apart, at most 1 wanted")
    return int(abs(apart) > 1)


if __name__ == "__main__":
    sys.exit(main())
