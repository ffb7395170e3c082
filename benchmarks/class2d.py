#!/usr/bin/env python3
"""Class2D's figures: false picks that the ranking drops, and mini-batches beside full iterations; real ones: junk.py.

    python benchmarks/class2d.py [--seeds 5] [--particles 600] [--snr 0.1 0.05] [--classes 12]
        [--kinds usual noise shapes] [--only junk|methods]

Junk: simulated particles (box 48, 4.67 Å) of which a fifth are false picks, "usual" of three kinds (empty ice, parts of
neighbours, lumps of ice), "noise" empty ice alone, "shapes" edges of the film and blobs as large and as contrasty as
particles: the share of each kind that Select drops with `minimum_score: 0.5`, by classes alone and by classes and
particle scores, and the share of the particles that it keeps. Mini-batches: CPU seconds and passes of both methods,
what they end with (log likelihood per particle, resolution, and how well classes part views: the mean over particles of
the largest eigenvalue of ⟨d dᵀ⟩ of the class's true viewing directions d, 1/3 for no order, 1 for one view).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np

from cryosnake.io.mrc import read_mrc
from cryosnake.io.star import read_star
from cryosnake.jobs.class2d import JOB
from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.numerics.projection import central_slices
from cryosnake.numerics.refine.classes.validation import correlation, cross_spectra, half_averages
from cryosnake.numerics.refine.grids.bands import full_band
from cryosnake.numerics.refine.grids.references import class_references, insert_planes, map_reference
from cryosnake.numerics.refine.sums.insertion import empty_sums
from cryosnake.programs.class2d import recipe as class2d
from cryosnake.programs.refinement.particles import ParticleSet, read_particles
from cryosnake.programs.simulate.false_picks import BLOB, CONTAMINATION, EDGE, EMPTY, NEIGHBOUR, USUAL
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles

DIAMETER = 180.0
NAMES = {EMPTY: "empty", NEIGHBOUR: "neighbours", CONTAMINATION: "contamination", EDGE: "edges", BLOB: "blobs"}
KINDS = {"usual": USUAL, "noise": (EMPTY,), "shapes": (EDGE, BLOB)}


def classify(source: str, out: str, **changed: Any) -> tuple[Any, Any, float]:
    """Run Class2D and return the particles' rows, the classes' rows, and the CPU seconds."""
    options = JOB.options(**{"particle_diameter": DIAMETER} | changed)
    Path(out).mkdir(exist_ok=True)
    before = cpu_seconds()
    with contextlib.redirect_stdout(io.StringIO()):
        class2d.run(options, {"particles": source}, out, lambda done, total, message: None)
    root = f"{out}/run_it{options.iterations:03d}"
    return (read_star(f"{root}_data.star")["particles"], read_star(f"{root}_model.star")["model_classes"],
            cpu_seconds() - before)


def cpu_seconds() -> float:
    """Return user and system time so far of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def kept(rows: Any, classes: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return which particles are in classes that score 0.5 or more, and which of these score that themselves."""
    good = classes["rlnClassScore"].to_numpy(float)[rows["rlnClassNumber"].to_numpy(int) - 1] >= 0.5
    return good, good & (rows["cryosnakeParticleScore"].to_numpy(float) >= 0.5)


def junk(seed: int, count: int, snr: float, classes: int, kinds: str) -> tuple[float, float, float, float]:
    """Print what becomes of a fifth of false picks; return the shares of false picks dropped and particles kept.

    By classes alone, and by classes and particle scores.
    """
    folder = f"junk_{kinds}_{snr:g}_{seed}"
    simulate_particles(folder, StackSettings(count=count, box=48, pixel_size=4.67, snr=snr, symmetry="C1",
                                             residues=1500, false_picks=0.2, false_pick_kinds=KINDS[kinds], seed=seed,
                                             prefix=f"{folder}/"))
    kind = read_star(f"{folder}/truth/particles.star")["particles"]["rlnClassNumber"].to_numpy(int)
    rows, table, seconds = classify(f"{folder}/particles.star", f"{folder}/out", classes=classes, iterations=20)
    figures, said = [], []
    for keep in kept(rows, table):
        figures += [float((~keep[kind > 0]).mean()), float(keep[kind == 0].mean())]
        by_kind = ", ".join(f"{NAMES[number]} {(~keep[kind == number]).mean():.0%}" for number in KINDS[kinds])
        said.append(f"{figures[-2]:.1%} dropped ({by_kind}), {figures[-1]:.1%} kept")
    print(f"{kinds}, SNR {snr:g}, seed {seed}: classes {said[0]}; with particle scores {said[1]}; {seconds:.0f} CPU s",
          flush=True)
    return figures[0], figures[1], figures[2], figures[3]


def all_junk(given: Any) -> None:
    """Print what becomes of false picks, by kinds, signal-to-noise ratio and seed."""
    for kinds in given.kinds:
        for snr in given.snr:
            each = [junk(seed, given.particles, snr, given.classes, kinds) for seed in range(1, given.seeds + 1)]
            mean, least = np.mean(each, axis=0), np.min(each, axis=0)
            print(f"{kinds}, SNR {snr:g}: by classes {mean[0]:.1%} dropped (least {least[0]:.1%}), {mean[1]:.1%} kept "
                  f"(least {least[1]:.1%}); with particle scores {mean[2]:.1%} dropped (least {least[2]:.1%}), "
                  f"{mean[3]:.1%} kept (least {least[3]:.1%})", flush=True)


def order_of_views(truth: Any, rows: Any) -> float:
    """Return how well classes part the true viewing directions, see the head of this file."""
    angles = (truth[name].to_numpy(float) for name in ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"))
    direction, number = euler_to_matrix(*angles)[:, 2], rows["rlnClassNumber"].to_numpy(int)
    total = 0.0
    for k in np.unique(number):
        mine = direction[number == k]
        total += np.linalg.eigvalsh(mine.T @ mine)[-1]
    return float(total / len(number))


def methods(count: int, classes: int, snr: float) -> None:
    """Compare mini-batches with full iterations."""
    simulate_particles("methods", StackSettings(count=count, box=48, pixel_size=4.67, snr=snr, symmetry="C1",
                                                residues=1500, seed=5, prefix="methods/"))
    truth = read_star("methods/truth/particles.star")["particles"]
    poses = read_particles("methods/truth/particles.star")
    volume = read_mrc("methods/truth/map.mrc")[0]
    for method in ("em", "gradient"):
        rows, _, seconds = classify("methods/particles.star", f"methods/{method}", classes=classes, method=method)
        claimed, real = claimed_and_true(poses, volume, f"methods/{method}/run_it025")
        print(f"{method}: {count} particles, {classes} classes: {seconds:.0f} CPU s, log likelihood "
              f"{rows['rlnLogLikeliContribution'].mean():.2f} per particle, views {order_of_views(truth, rows):.3f}; "
              f"resolution of the classes, claimed: {' '.join(f'{x:.0f}' for x in claimed)} Å, true (FRC 0.5 with the "
              f"average of the noise-free images): {' '.join(f'{x:.0f}' for x in real)} Å", flush=True)


def claimed_and_true(truth: ParticleSet, volume: np.ndarray, root: str) -> tuple[np.ndarray, np.ndarray]:
    """Return resolutions in Å of the classes of 20 particles or more, the largest first: as model.star says, and true.

    True: where the average's correlation with that of its members' noise-free images, moved by the alignments that were
    found, falls below 0.5.
    """
    found, box = read_particles(f"{root}_data.star"), truth.box
    table = read_star(f"{root}_model.star")["model_classes"]
    number, band, reach = found.column("rlnClassNumber").astype(int) - 1, full_band(box), box // 2 + 1
    real, imaginary = central_slices(map_reference(volume[None], box, None).transforms[0], truth.poses(), band.kx,
                                     band.ky)
    moved = (real + 1j * imaginary) * band.phases_each(found.offsets() - truth.offsets())
    pose = found.poses()
    sums = empty_sums(box // 2, (1, len(table)), dimensions=2)
    insert_planes(sums, number, np.degrees(np.arctan2(pose[:, 0, 1], pose[:, 0, 0])), band, moved,
                  np.ones((len(found), band.kx.size), np.float32))
    ideal = half_averages(sums[0], box // 2)
    averages = class_references(read_mrc(f"{root}_classes.mrcs")[0], box, None).transforms
    counts = np.bincount(number, minlength=len(table))
    chosen, shells = [k for k in np.argsort(-counts) if counts[k] >= 20], []
    for k in chosen:
        curve = correlation(*(x[None] for x in cross_spectra(averages[k], ideal[k], reach)))[0]
        below = np.flatnonzero(curve[1:] < 0.5)
        shells.append(max(int(below[0]) if len(below) else reach - 1, 1))
    return table["rlnEstimatedResolution"].to_numpy(float)[chosen], box * truth.pixel_size / np.array(shells)


def main() -> int:
    """Run the cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, type_, default in (("seeds", int, 5), ("particles", int, 600), ("classes", int, 12), ("many", int, 3000)):
        parser.add_argument(f"--{name}", type=type_, default=default)
    parser.add_argument("--snr", type=float, nargs="+", default=[0.1, 0.05])
    parser.add_argument("--kinds", choices=tuple(KINDS), nargs="+", default=["usual"])
    parser.add_argument("--only", choices=("junk", "methods"), default=None)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        if given.only in (None, "junk"):
            all_junk(given)
        if given.only in (None, "methods"):
            methods(given.many, given.classes, given.snr[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
