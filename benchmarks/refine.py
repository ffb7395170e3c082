#!/usr/bin/env python3
"""CPU seconds of refinement against relion_refine on the same simulated particles, options and one thread.

    python benchmarks/refine.py [--particles 200] [--box 64] [--snr 0.05] [--order 2] [--classes 20]
                                [--cases global local class2d]

Prints one line per case: CPU milliseconds per particle and iteration of both, their ratio, and the pose error of both.
RELION gets particles without origins, as we do: given the true ones it would search around them. The local search
starts from the true orientations, each turned by a random angle of about 2 degrees. Peak memory: of our process, which
has run all cases so far, and of RELION's.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np

from cryosnake.io.star import read_star, write_star
from cryosnake.jobs import class2d as class2d_job
from cryosnake.jobs import refine3d as refine3d_job
from cryosnake.numerics.euler import angular_distance, euler_to_matrix, matrix_to_euler
from cryosnake.numerics.refine.search.schedule import Sampling
from cryosnake.parallel.stacks import KeptImages
from cryosnake.programs.class2d import recipe as class2d
from cryosnake.programs.refine3d.recipe import Refine3D
from cryosnake.programs.refinement.execution import Execution, stack_images
from cryosnake.programs.refinement.loop import iterate
from cryosnake.programs.refinement.particles import read_particles
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles

PIXEL_SIZE, DIAMETER, LOW_PASS = 3.5, 180.0, 15.0
USAGE = Path(__file__).resolve().parent / "child_usage.py"


def cpu_seconds() -> float:
    """Return user and system time so far of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def timed_relion(words: list[str]) -> float:
    """Run a program of RELION, print its peak memory beside ours and return its CPU seconds."""
    subprocess.run([sys.executable, str(USAGE), "usage.json", *words], check=True, capture_output=True)
    seconds, memory = json.loads(Path("usage.json").read_text())
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} / {memory:.0f} MB; ", end="")
    return float(seconds)


def defaults(job, **changed):  # type: ignore[no-untyped-def]
    """Return a job type's options, all at their defaults but those given."""
    return job.JOB.options(**{"particle_diameter": DIAMETER} | changed)


def common(order_or_psi: list[str], star: str = "particles.star") -> list[str]:
    """Return the options of relion_refine that all cases share."""
    return ["--i", star, "--ctf", "--oversampling", "1", "--offset_range", "5", "--offset_step", "2",
            "--particle_diameter", f"{DIAMETER:g}", "--zero_mask", "--flatten_solvent", "--norm", "--scale", "--pad",
            "2", "--j", "1", "--random_seed", "1", *order_or_psi]


def in_memory(star: str) -> Execution:
    """Return the execution by one process on a CPU; images are read once and kept."""
    stacks = stack_images(particles := read_particles(star))
    return Execution(particles=particles, images=KeptImages(stacks, stacks.shape))


def global_search(count: int, order: int) -> None:
    """Compare one iteration of a global search from the true map, low-passed."""
    degrees = ("30 degrees", "15 degrees", "7.5 degrees", "3.7 degrees")[order]
    options = defaults(refine3d_job, initial_lowpass=LOW_PASS, sampling=degrees, reference_absolute_greyscale=True)
    recipe = Refine3D(in_memory("particles.star"), options, {"reference": "truth/map.mrc"}, Path("run"))
    start = recipe.start()
    iterate(recipe, start)  # compiles
    before = cpu_seconds()
    model = iterate(recipe, start)
    ours = cpu_seconds() - before
    theirs = timed_relion(["relion_refine", "--ref", "truth/map.mrc", "--o", "theirs/run", "--iter", "1", "--K", "1",
                           "--ini_high", f"{LOW_PASS:g}", "--ctf_corrected_ref", "--tau2_fudge", "1", "--sym", "C1",
                           *common(["--healpix_order", str(order)])])
    truth = read_particles("truth/particles.star").poses()
    found = read_particles("theirs/run_it001_data.star")
    order_of_rows = np.argsort(found.table["rlnImageName"].to_numpy())
    errors = [angular_distance(poses, truth) for poses in (model.assignments.pose, found.poses()[order_of_rows])]
    report(f"3D global search, order {order}", ours, theirs, count)
    print(f"    poses within 10 degrees: {(errors[0] < 10).mean():.2f} / {(errors[1] < 10).mean():.2f}; median error "
          f"{np.median(errors[0]):.1f} / {np.median(errors[1]):.1f} degrees")


def local_search(count: int, order: int = 4, sigma: float = 3.67) -> None:
    """Compare one iteration of a local search, from orientations about 2 degrees off."""
    particles = read_particles("truth/particles.star")
    truth = particles.poses()
    turn = euler_to_matrix(*np.random.default_rng(1).normal(0.0, 1.2, (3, count)))
    start_at = turn @ truth
    angles = dict(zip(("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), matrix_to_euler(start_at), strict=True))
    given = read_star("particles.star")
    write_star("near.star", {**given, "particles": given["particles"].assign(**angles)})
    options = defaults(refine3d_job, initial_lowpass=LOW_PASS, reference_absolute_greyscale=True)
    recipe = Refine3D(in_memory("near.star"), options, {"reference": "truth/map.mrc"}, Path("run"))
    start = recipe.start()
    start = replace(start, sampling=Sampling(order, 5.0, 2.0, sigma),
                    assignments=replace(start.assignments, pose=start_at),
                    statistics=[replace(half, direction=np.ones(1)) for half in start.statistics])
    iterate(recipe, start)  # compiles
    before = cpu_seconds()
    model = iterate(recipe, start)
    ours = cpu_seconds() - before
    theirs = timed_relion(["relion_refine", "--ref", "truth/map.mrc", "--o", "theirs/local", "--iter", "1", "--K", "1",
                           "--ini_high", f"{LOW_PASS:g}", "--ctf_corrected_ref", "--tau2_fudge", "1", "--sym", "C1",
                           "--sigma_ang", f"{sigma:g}",
                           *common(["--healpix_order", str(order)], "near.star")])
    found = read_particles("theirs/local_it001_data.star")
    rows = np.argsort(found.table["rlnImageName"].to_numpy())
    errors = [np.median(angular_distance(poses, truth))
              for poses in (start_at, model.assignments.pose, found.poses()[rows])]
    report(f"3D local search, order {order}, sigma {sigma:g} degrees", ours, theirs, count)
    print(f"    median error {errors[1]:.2f} / {errors[2]:.2f} degrees, {errors[0]:.2f} before")


def classification(count: int, classes: int, iterations: int = 8) -> None:
    """Compare a whole 2D classification."""
    options = defaults(class2d_job, classes=classes, iterations=iterations)
    Path("ours").mkdir(exist_ok=True)
    with contextlib.redirect_stdout(io.StringIO()):
        class2d.run(defaults(class2d_job, classes=2, iterations=1), {"particles": "particles.star"}, "ours",
                    lambda done, total, message: None)
        before = cpu_seconds()
        class2d.run(options, {"particles": "particles.star"}, "ours", lambda done, total, message: None)
    ours = cpu_seconds() - before
    theirs = timed_relion(["relion_refine", "--o", "theirs/c2d", "--iter", str(iterations), "--K", str(classes),
                           "--tau2_fudge", "2", *common(["--psi_step", "12"])])
    report(f"Class2D, {classes} classes, whole job of {iterations} iterations", ours, theirs, count * iterations)


def report(case: str, ours: float, theirs: float, count: int) -> None:
    """Print CPU time per particle and iteration of both, and their ratio."""
    print(f"{case}: {1e3 * ours / count:.2f} ms, relion_refine {1e3 * theirs / count:.1f} ms, ratio "
          f"{theirs / ours:.1f}", flush=True)


def main() -> int:
    """Simulate particles and run the cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, kind, default in (("particles", int, 200), ("box", int, 64), ("snr", float, 0.05), ("order", int, 2),
                                ("classes", int, 20)):
        parser.add_argument(f"--{name}", type=kind, default=default)
    parser.add_argument("--cases", nargs="+", default=["global", "local", "class2d"])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        simulate_particles(folder, StackSettings(count=given.particles, box=given.box,
                                                 pixel_size=PIXEL_SIZE * 64 / given.box, snr=given.snr, symmetry="C1",
                                                 residues=1500))
        Path("theirs").mkdir()
        cases = {"global": lambda: global_search(given.particles, given.order),
                 "local": lambda: local_search(given.particles),
                 "class2d": lambda: classification(given.particles, given.classes)}
        for name in given.cases:
            cases[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
