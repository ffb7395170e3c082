#!/usr/bin/env python3
"""3D classification of a simulated 60:40 mixture of two conformations, beside relion_refine on the same particles.

    python benchmarks/class3d.py [--particles 600] [--box 64] [--snr 0.1] [--swing 45] [--iterations 15] [--relion no]

Two cases: at the true poses without alignment, both classes from conformation 1 at 40 Å; and with alignment, both
classes from what a user has, the InitialModel of all particles. Prints for each, for us and for RELION: the fraction of
particles in the right class (gates: 0.9 and 0.85), each class's FSC with its true map, aligned in the better hand, and
CPU seconds. One thread.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np

from cryosnake.io.mrc import read_mrc
from cryosnake.io.star import read_star
from cryosnake.jobs.class3d import JOB
from cryosnake.jobs.initialmodel import JOB as INITIAL_MODEL
from cryosnake.numerics.alignment import align_maps
from cryosnake.numerics.fsc import fsc, resolution_at
from cryosnake.programs.class3d import recipe as class3d
from cryosnake.programs.initialmodel import recipe as initialmodel
from cryosnake.programs.simulate.mixture import simulate_mixture
from cryosnake.programs.simulate.particles import StackSettings
from cryosnake.simulation.conformations import swing_domain
from cryosnake.simulation.protein import pseudo_protein

PIXEL_SIZE, DIAMETER, LOW_PASS, TAU2_FUDGE = 3.5, 160.0, 40.0, 4.0


def cpu_seconds(who: int) -> float:
    """Return user and system time so far of this process or of its children."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def consensus(particles: str, seed: int) -> str:
    """Return the path of the initial model of all particles."""
    Path("consensus").mkdir(exist_ok=True)
    with contextlib.redirect_stdout(io.StringIO()):
        initialmodel.run(INITIAL_MODEL.options(particle_diameter=DIAMETER, seed=seed), {"particles": particles},
                         "consensus", lambda done, total, message: None)
    return "consensus/initial_model.mrc"


def classify(particles: str, reference: str, out: str, iterations: int, align: bool) -> float:
    """Run our classification and return its CPU seconds."""
    options = JOB.options(classes=2, particle_diameter=DIAMETER, initial_lowpass=LOW_PASS, tau2_fudge=TAU2_FUDGE,
                          iterations=iterations, align=align, reference_absolute_greyscale=True)
    Path(out).mkdir(exist_ok=True)
    before = cpu_seconds(resource.RUSAGE_SELF)
    with contextlib.redirect_stdout(io.StringIO()):
        class3d.run(options, {"particles": particles, "reference": reference}, out,
                    lambda done, total, message: None)
    return cpu_seconds(resource.RUSAGE_SELF) - before


def classify_with_relion(particles: str, reference: str, out: str, iterations: int, align: bool) -> float:
    """Run relion_refine with the same options and return its CPU seconds."""
    Path(out).mkdir(exist_ok=True)
    words = ["relion_refine", "--i", particles, "--o", f"{out}/run", "--ref", reference, "--K", "2", "--iter",
             str(iterations),  "--ini_high", f"{LOW_PASS:g}", "--tau2_fudge", f"{TAU2_FUDGE:g}", "--ctf",
             "--ctf_corrected_ref", "--sym", "C1", "--particle_diameter", f"{DIAMETER:g}", "--zero_mask",
             "--flatten_solvent", "--norm", "--scale", "--pad", "2", "--j", "1", "--random_seed", "1"]
    words += (["--healpix_order", "2", "--oversampling", "1", "--offset_range", "5", "--offset_step", "2"] if align
              else ["--skip_align"])
    before = cpu_seconds(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True, capture_output=True)
    return cpu_seconds(resource.RUSAGE_CHILDREN) - before


def report(who: str, out: str, iterations: int, seconds: float) -> None:
    """Print how many particles are in the right class, how good the maps are, and what it cost."""
    name = f"{out}/run_it{iterations:03d}"
    found = read_star(f"{name}_data.star")["particles"].set_index("rlnImageName")["rlnClassNumber"]
    truth = read_star("truth/particles.star")["particles"].set_index("rlnImageName")["rlnClassNumber"]
    same = (found.loc[truth.index] == truth).to_numpy()
    swapped = same.mean() < 0.5
    print(f"  {who:14} {max(same.mean(), 1 - same.mean()):.1%} right, {seconds:7.1f} CPU s", end="")
    for number in (1, 2):
        true, pixel_size = read_mrc(f"{number}/truth/map.mrc")
        volume, _ = read_mrc(f"{name}_class{3 - number if swapped else number:03d}.mrc")
        curve = fsc(align_maps(volume, true, mirror_test=True)[0], true)
        print(f"; map {number}: FSC 0.5 at {resolution_at(curve, len(true) * pixel_size, 0.5):.1f} Å, mean to 20 Å "
              f"{curve[1 : int(len(true) * pixel_size / 20) + 1].mean():.3f}", end="")
    print(flush=True)


def main() -> int:
    """Simulate the mixture and run both cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, kind, default in (("particles", int, 600), ("box", int, 64), ("snr", float, 0.1), ("swing", float, 45.0),
                                ("iterations", int, 15), ("seed", int, 1)):
        parser.add_argument(f"--{name}", type=kind, default=default)
    parser.add_argument("--relion", choices=("yes", "no"), default="yes")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        atoms = pseudo_protein("C1", 1000, given.seed)
        first = round(0.6 * given.particles)
        simulate_mixture(".", [atoms, swing_domain(atoms, given.swing)], [first, given.particles - first],
                         StackSettings(box=given.box, pixel_size=PIXEL_SIZE * 64 / given.box, snr=given.snr,
                                       seed=given.seed, per_micrograph=60))
        maps = [read_mrc(f"{number}/truth/map.mrc")[0].ravel() for number in (1, 2)]
        print(f"{given.particles} particles 60:40, box {given.box}, SNR {given.snr:g}; a quarter of the mass swung by "
              f"{given.swing:g}°, correlation of the two maps {np.corrcoef(*maps)[0, 1]:.2f}", flush=True)
        true, found = "1/truth/map.mrc", consensus("particles.star", given.seed)
        classify("truth/particles.star", true, "compile", 1, False)
        classify("particles.star", found, "compile", 1, True)
        for title, particles, start, align in (
                ("at the true poses", "truth/particles.star", true, False),
                ("with alignment, 7.5°, from the initial model", "particles.star", found, True)):
            print(f"{title}, {given.iterations} iterations", flush=True)
            for who, run in (("cryosnake", classify), ("relion_refine", classify_with_relion)):
                if who == "cryosnake" or given.relion == "yes":
                    out = f"{who}{align:d}"
                    report(who, out, given.iterations, run(particles, start, out, given.iterations, align))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
