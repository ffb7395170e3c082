#!/usr/bin/env python3
"""CtfRefine beside relion_ctf_refine, from the same particles and PostProcess, against the simulated truth.

    python benchmarks/ctf_refine.py FOLDER [--particles 1200] [--box 256] [--pixel_size 1.0] [--snr 0.05] [--no-relion]

Particles of 25 in a micrograph have beam tilt, trefoil, fourth-order aberrations of 1.5 rad at 3 Å, a magnification of
1.003 / 0.998, and each is 200 Å (RMS) off the defocus in its table; half maps are the truth with noise. Ours fits all
in one job (`rounds` 1 and 2); RELION in its tutorial's order: aberrations, magnification, defocus. Both use one thread.
Printed: CPU seconds and peak memory, start-up included; RMS error of odd and even phases to 3.2 Å relative to their
RMS, without piston, shift, defocus and astigmatism; error of the magnification; mean and spread of the defocus error.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.postprocess import JOB as POSTPROCESS
from cryosnake.numerics.refine.grids.images import soft_disc
from cryosnake.programs.maps import postprocess
from cryosnake.programs.refinement.particles import read_particles
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles
from cryosnake.simulation.aberrations import Aberrations

CHILD_USAGE = Path(__file__).resolve().parent / "child_usage.py"
EDGE = 1.0 / 3.0  # 1/Å
LENS = Aberrations(beam_tilt=(0.5, -0.3), odd=(0.0, 0.0, 1.2 / EDGE**3, 0.0, 0.0, -0.9 / EDGE**3),
                   even=(0.0, 0.0, 0.0, 0.0, 1.0 / EDGE**4, 0.0, 0.0, 0.0, -1.1 / EDGE**4),
                   magnification=((1.003, 0.0005), (0.0005, 0.998)))
FIELDS = ("CPU s", "MB", "odd", "even", "magnification", "defocus mean", "defocus sd")
RELION = ("--fit_beamtilt --kmin_tilt 30 --odd_aberr_max_n 3 --fit_aberr --kmin_aberr 30", "--fit_aniso --kmin_mag 30",
          "--fit_defocus --kmin_defocus 30 --fit_mode fpmff")
OURS = """
import sys
from cryosnake.jobs.after_refinement.ctfrefine import JOB
from cryosnake.parallel.threads import thread_limit
from cryosnake.programs.ctfrefine.ctfrefine import run
with thread_limit(1):
    run(JOB.options(rounds=int(sys.argv[1])), {"particles": "particles.star", "postprocess": "postprocess.star"},
        sys.argv[2], lambda *_: None)
"""


def make(given: argparse.Namespace) -> None:
    """Write particles.star, half maps, mask and postprocess.star in the current folder."""
    simulate_particles(".", StackSettings(
        count=given.particles, box=given.box, pixel_size=given.pixel_size, snr=given.snr, symmetry="C1", residues=1500,
        aberrations=LENS, per_micrograph=25, shift=3.0, b_factor=50.0, defocus=(8000.0, 15000.0), seed=3))
    rng, tables = np.random.default_rng(5), read_star("truth/particles.star")
    particles = tables["particles"].copy()
    particles["rlnRandomSubset"] = 1 + np.arange(given.particles) % 2
    particles[["rlnDefocusU", "rlnDefocusV"]] += rng.normal(0.0, 200.0, given.particles)[:, None]
    known = [label for label in tables["optics"] if label not in LENS.columns()]
    write_star("particles.star", {"optics": tables["optics"][known], "particles": particles})
    density, _ = read_mrc("truth/map.mrc")
    write_mrc("mask.mrc", soft_disc(given.box, 0.36 * given.box, 4.0, dimensions=3), given.pixel_size)
    axis, last = np.fft.fftfreq(given.box), np.fft.rfftfreq(given.box)
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + last**2)
    shell = np.abs(radius - 0.3) < 0.01  # where noise is as strong as the signal
    spread = np.sqrt((np.abs(np.fft.rfftn(density)) ** 2)[shell].mean() / given.box**3)
    for half in (1, 2):
        noisy = density + rng.normal(0.0, spread, density.shape)
        write_mrc(f"run_half{half}_class001_unfil.mrc", noisy.astype(np.float32), given.pixel_size)
    postprocess.run(POSTPROCESS.options(auto_b_factor=False),
                    {"half_maps": "run_half1_class001_unfil.mrc", "mask": "mask.mrc"}, ".", lambda *_: None)


def measured(command: list[str]) -> list[float]:
    """Return CPU seconds and peak memory in MB of a command."""
    subprocess.run([sys.executable, CHILD_USAGE, "usage.json", *command], check=True)
    return [float(value) for value in json.loads(Path("usage.json").read_text(encoding="utf-8"))]


def errors(path: str) -> list[float]:
    """Return the figures of a result against the truth, in the order of FIELDS."""
    truth, found = read_particles("truth/particles.star"), read_particles(path)
    axis = np.fft.fftfreq(truth.box, truth.pixel_size)
    kx, ky = (values.ravel() for values in np.meshgrid(axis, axis))
    inside = (np.hypot(kx, ky) < 1.0 / 3.2) & (np.hypot(kx, ky) > 1.0 / 30.0)
    kx, ky = kx[inside], ky[inside]
    free = {"odd_phase": (kx, ky), "even_phase": (np.ones_like(kx), kx**2 + ky**2, kx**2 - ky**2, kx * ky)}
    values = []
    for kind, shapes in free.items():
        basis = np.stack(shapes, 1)
        phases = [getattr(each.groups[0], kind)(kx, ky) for each in (truth, found)]
        true, fitted = (phase - basis @ np.linalg.lstsq(basis, phase, rcond=None)[0] for phase in phases)
        values.append(float((fitted - true).std() / true.std()))
    values.append(float(np.abs(found.groups[0].magnification - truth.groups[0].magnification).max()))
    rows = found.table.set_index("rlnImageName").loc[truth.table["rlnImageName"]]
    off = sum(0.5 * (rows[label].to_numpy() - truth.column(label)) for label in ("rlnDefocusU", "rlnDefocusV"))
    return [*values, float(np.mean(off)), float(np.std(off))]


def row(name: str, values: list[float]) -> None:
    """Print a row of the table."""
    print(f"| {name} | " + " | ".join(f"{value:.3g}" for value in values) + " |", flush=True)


def main() -> None:
    """Make the data where they are not there yet, run both programs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--particles", type=int, default=1200)
    parser.add_argument("--box", type=int, default=256)
    parser.add_argument("--pixel_size", type=float, default=1.0)
    parser.add_argument("--snr", type=float, default=0.05)
    parser.add_argument("--no-relion", action="store_true")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(given.folder)
    if not Path("postprocess.star").exists():
        make(given)
    print("| | " + " | ".join(FIELDS) + " |\n|---|" + "---|" * len(FIELDS))
    row("before", [0.0, 0.0, *errors("particles.star")])
    for rounds in (1, 2):
        out = Path(f"ours{rounds}/job001")
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        used = measured([sys.executable, "-c", OURS, str(rounds), str(out)])
        row(f"ours, {rounds} round(s)", [*used, *errors(f"{out}/particles_ctf_refine.star")])
    if given.no_relion:
        return
    star, total, most = "particles.star", 0.0, 0.0
    for number, options in enumerate(RELION, 1):
        out = Path(f"relion{number}")
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        used = measured(["relion_ctf_refine", "--i", star, "--f", "postprocess.star", "--o", f"{out}/", "--j", "1",
                         *options.split()])
        star, total, most = f"{out}/particles_ctf_refine.star", total + used[0], max(most, used[1])
        row(f"RELION, after step {number}", [total, most, *errors(star)])


if __name__ == "__main__":
    main()
