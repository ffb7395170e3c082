#!/usr/bin/env python3
"""A whole Refine3D against relion_refine_mpi --auto_refine: same simulated particles, reference and options.

    python benchmarks/refine_whole.py [--particles 400] [--box 64] [--snr 0.1] [--symmetry D2] [--residues 1500]
                                      [--local_order 4]

Prints for both: the shell at which the final map's FSC with the truth falls below 0.5 (aligned first; within the
particle's diameter, for what either leaves around it says nothing of the map), mean FSC to Nyquist, median errors of
orientations (nearest symmetry mate) and shifts, the fraction of poses within 10 degrees, iterations, CPU seconds and
peak memory. What turns or moves all particles alike is no error of theirs and taken out: nothing holds the frame of a
map without symmetry.
RELION runs with a leader, which computes nothing and is not counted, and two followers of one thread, one per half set;
ours with one thread, compilation of kernels included when it is the first run. Hours for more than a thousand particles
in C1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np
from scipy.spatial.transform import Rotation

from cryosnake.io.mrc import read_mrc
from cryosnake.jobs.refine3d import JOB
from cryosnake.numerics.alignment import align_maps
from cryosnake.numerics.euler import angular_distance
from cryosnake.numerics.fsc import fsc
from cryosnake.numerics.refine.grids.images import soft_disc
from cryosnake.numerics.symmetry import nearest_mate
from cryosnake.programs.refine3d import recipe as refine3d
from cryosnake.programs.refinement.particles import MASK_EDGE, read_particles
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles

DIAMETER, LOW_PASS = 180.0, 40.0
USAGE = Path(__file__).resolve().parent / "child_usage.py"


def ours(symmetry: str, local_order: int) -> tuple[float, float]:
    """Refine with ours; return CPU seconds (compilation included) and peak memory in MB."""
    options = JOB.options(particle_diameter=DIAMETER, initial_lowpass=LOW_PASS, symmetry=symmetry,
                          local_sampling=("7.5 degrees", "3.7 degrees", "1.8 degrees")[local_order - 2])
    Path("ours").mkdir()
    before = resource.getrusage(resource.RUSAGE_SELF)
    with open("ours/log.txt", "w") as log, contextlib.redirect_stdout(log):
        refine3d.run(options, {"particles": "particles.star", "reference": "truth/map.mrc"}, "ours",
                     lambda done, total, message: None)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, after.ru_maxrss / 1024


def theirs(symmetry: str, local_order: int) -> tuple[float, float]:
    """Refine with RELION; return CPU seconds of its two followers and the peak memory of one in MB."""
    Path("theirs").mkdir()
    options = ["--auto_refine", "--split_random_halves", "--i", "particles.star", "--ref", "truth/map.mrc", "--o",
               "theirs/run", "--ini_high", f"{LOW_PASS:g}", "--sym", symmetry, "--particle_diameter", f"{DIAMETER:g}",
               "--ctf", "--ctf_corrected_ref", "--flatten_solvent", "--zero_mask", "--norm", "--scale", "--pad", "2",
               "--oversampling", "1", "--healpix_order", "2", "--auto_local_healpix_order", str(local_order),
               "--offset_range", "5", "--offset_step", "2", "--low_resol_join_halves", "40", "--j", "1",
               "--random_seed", "1", "--dont_combine_weights_via_disc"]
    program = [sys.executable, str(USAGE), "usage{rank}.json", "relion_refine_mpi", *options]
    leader = ["-n", "1", "nice", "-n", "19", *program]  # it spins while it waits, and must not take a follower's core
    subprocess.run(["mpirun", "--oversubscribe", *leader, ":", "-n", "2", *program], check=True, capture_output=True)
    used = [json.loads(Path(f"usage{rank}.json").read_text()) for rank in (1, 2)]
    return used[0][0] + used[1][0], max(used[0][1], used[1][1])


def pose_errors(path: str, symmetry: str) -> tuple[np.ndarray, np.ndarray]:
    """Return how far orientations (degrees) and shifts (Å) of a STAR file are from the truth, but for the frame."""
    found, true = read_particles(path), read_particles("truth/particles.star")
    order = np.argsort(found.table["rlnImageName"].to_numpy())
    poses = found.poses()[order]
    mates = nearest_mate(true.poses(), poses, symmetry)
    near = angular_distance(mates, poses) < 10.0
    frame = Rotation.from_matrix(np.swapaxes(poses, 1, 2) @ mates)[near].mean().as_matrix()
    offset = [particles.table[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy(float) for particles in (found, true)]
    moved, seen = offset[0][order] - offset[1], poses[:, :2]
    centre = np.linalg.lstsq(seen[near].reshape(-1, 3), moved[near].ravel(), rcond=None)[0]
    return angular_distance(mates, poses @ frame), np.linalg.norm(moved - seen @ centre, axis=1)


def report(name: str, cpu: float, memory: float, folder: str, symmetry: str) -> None:
    """Print how a result compares with the truth."""
    errors, moved = pose_errors(f"{folder}/run_data.star", symmetry)
    truth, pixel_size = read_mrc("truth/map.mrc")
    found = read_mrc(f"{folder}/run_class001.mrc")[0]
    ball = soft_disc(len(truth), DIAMETER / 2 / pixel_size, MASK_EDGE, 3)
    curve = fsc(align_maps(found, truth)[0] * ball, truth * ball)
    below = np.flatnonzero(curve[1:] < 0.5)
    shell = int(below[0]) if below.size else len(curve) - 1
    last = max(int(path.name[6:9]) for path in Path(folder).glob("run_it[0-9][0-9][0-9]_*data.star"))
    print(f"{name}: FSC 0.5 with the truth to shell {shell} of {len(curve) - 1}, mean FSC {curve[1:].mean():.3f}; "
          f"median errors {np.median(errors):.2f} degrees and {np.median(moved):.2f} Å, {(errors < 10).mean():.3f} "
          f"within 10 degrees; {last} iterations, {cpu:.0f} CPU s, {memory:.0f} MB", flush=True)


def main() -> int:
    """Simulate particles, refine them twice, print both results and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, kind, default in (("particles", int, 400), ("box", int, 64), ("snr", float, 0.1), ("symmetry", str, "D2"),
                                ("residues", int, 1500), ("local_order", int, 4)):
        parser.add_argument(f"--{name}", type=kind, default=default)
    parser.add_argument("--relion", choices=("yes", "no"), default="yes")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        simulate_particles(folder, StackSettings(count=given.particles, box=given.box, pixel_size=3.5 * 64 / given.box,
                                                 snr=given.snr, symmetry=given.symmetry, residues=given.residues))
        mine = ours(given.symmetry, given.local_order)
        report("cryosnake", *mine, "ours", given.symmetry)
        if given.relion == "yes":
            other = theirs(given.symmetry, given.local_order)
            report("RELION", *other, "theirs", given.symmetry)
            print(f"ratio of CPU seconds {other[0] / mine[0]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
