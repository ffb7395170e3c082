#!/usr/bin/env python3
"""CtfRefine, Polish, Subtract and PostProcess beside RELION, from movies, with everything known.

    python benchmarks/full_resolution.py [--folder build/full_resolution] [--movies 60] [--pixel_size 1.0]
        [--iterations 7] [--cores 2]

Movies of 1024 Å and 16 frames hold about 25 particles each (D4, 150 Å; box 256 Å), 1,500 in all, at heights of 173 Å
(RMS), that drift by about 12 Å and swell by 4 Å; beam tilt 0.5 mrad, trefoil and fourth order of 1.5 rad at 3 Å,
magnification 1.003 / 0.998. Motion correction of whole frames and extraction are ours; particles start 1° and 1 Å (RMS)
from their true poses, with the defocus of their micrograph, the reference is the truth at 15 Å, and searches are local:
what is measured are the steps after it. Refine3D is ours everywhere, with one seed and mask.

CtfRefine of both programs starts from the first refinement (RELION in its tutorial's order: aberrations, magnification,
defocus); Subtract and Polish of both from what Refine3D makes of our CtfRefine.
After each step the result is printed and written to steps/NAME.json; what is there is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from full_resolution_truth import (
    IMAGES,
    KEPT,
    MASK,
    TRUE_MAP,
    least_errors,
    lens_figures,
    map_figures,
    subtraction_figures,
    track_figures,
)

from cryosnake.atomic import write_text
from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.numerics.filters import low_pass
from cryosnake.programs.simulate.project import simulate_project
from cryosnake.simulation.aberrations import Aberrations

ROOT = Path(__file__).resolve().parent.parent
CHILD_USAGE = ROOT / "benchmarks/child_usage.py"
WIDTH, BOX, DIAMETER, FRAMES, DOSE, EDGE = 1024.0, 256.0, 170.0, 16, 3.0, 1.0 / 3.0  # Å, e/Å², 1/Å
LENS = Aberrations(beam_tilt=(0.4, -0.3), odd=(0.0, 0.0, 1.2 / EDGE**3, 0.0, 0.0, -0.9 / EDGE**3),
                   even=(0.0, 0.0, 0.0, 0.0, 1.0 / EDGE**4, 0.0, 0.0, 0.0, -1.1 / EDGE**4),
                   magnification=((1.003, 0.0), (0.0, 0.998)))
CONFIG = """
title: full resolution, beside RELION
microscope: {{voltage: 300, spherical_aberration: 2.7, amplitude_contrast: 0.1, pixel_size: {pixel:g},
             dose_per_frame: {dose:g}, gain: gain.mrc}}
pictures: false
jobs:
  movies:    {{type: import, movies: "Movies/*.tiff", settling_time: 0}}
  motion:    {{type: motioncorr, movies: movies, patches: [1, 1]}}
  particles: {{type: extract, micrographs: motion, particles: start.star, box_size: {box}}}
"""
OURS = """
import json, sys
from importlib import import_module
from types import SimpleNamespace
from cryosnake.jobs.registry import job_types
from cryosnake.parallel.threads import thread_limit
kind, options, inputs, out, threads = json.loads(sys.argv[1])
job = job_types()[kind]
program = import_module(job.program)
class Progress(SimpleNamespace):
    def __call__(self, *_): pass
    def iteration_written(self, number): pass
with thread_limit(threads):
    program.run(job.options(**options), inputs, out, Progress(root_name="run"))
"""
Figures = dict[str, float]


class Steps:
    """The steps of the comparison: each is done once, measured, compared with the truth, and printed."""

    def __init__(self, threads: int, iterations: int) -> None:
        self.threads, self.iterations = threads, iterations
        Path("steps").mkdir(exist_ok=True)

    def do(self, name: str, commands: Sequence[Sequence[str]], figures: Callable[[], Figures]) -> None:
        """Run commands, whose CPU seconds are added up, unless the step's result is there; print the result."""
        path = Path(f"steps/{name}.json")
        if not path.exists():
            used = [self._measured(name, command) for command in commands]
            found = {"CPU s": sum(cpu for cpu, _ in used), "MB": max(memory for _, memory in used)}
            write_text(path, json.dumps(found | figures(), indent=1) + "\n")
        result = json.loads(path.read_text())
        print(f"{name}: " + ", ".join(f"{label} {value:.4g}" for label, value in result.items()), flush=True)

    def _measured(self, name: str, command: Sequence[str]) -> tuple[float, float]:
        usage = Path("steps/usage.json")
        with open(f"steps/{name}.log", "a") as log:
            subprocess.run([sys.executable, CHILD_USAGE, usage, *command], check=True, stderr=log)
        cpu, memory = json.loads(usage.read_text())
        return float(cpu), float(memory)

    def ours(self, kind: str, out: str, inputs: dict[str, str], **options: Any) -> list[str]:
        """Return the command of one of our jobs; its folder is made anew."""
        return [sys.executable, "-c", OURS, json.dumps([kind, options, inputs, out, self.threads])]


def relion(program: str, out: str, words: str) -> list[str]:
    """Return the command of one of RELION's programs; `out` is a folder, or a folder and the first part of names."""
    return [f"relion_{program}", *words.split(), "--o", out]


def make(movies: int, pixel: float, seed: int = 17) -> None:
    """Simulate movies, and write start.star: particles near their true poses, with their micrographs' defocus."""
    if Path("start.star").exists():
        return
    side, box = 2 * round(WIDTH / pixel / 2), 2 * round(BOX / pixel / 2)
    simulate_project(".", movies=movies, size=(side, side), frames=FRAMES, pixel_size=pixel, dose_per_frame=DOSE,
                     particles_per_movie=28, symmetry="D4", residues=400, box=box, box_pixel_size=pixel,
                     defocus=(8000.0, 15000.0), ice_spread=173.0, ice_thickness=200.0, b_factor=10.0, local_motion=4.0,
                     contaminated=0.0, aberrations=LENS, seed=seed)
    truth, rng = read_star("truth/particles.star"), np.random.default_rng(seed)
    known = [label for label in truth["optics"] if label not in LENS.columns()]
    particles = truth["particles"].copy()
    particles["rlnRandomSubset"] = 1 + np.arange(len(particles)) % 2
    for labels, spread in ((("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), 0.6),
                           (("rlnOriginXAngst", "rlnOriginYAngst"), 0.7)):
        particles[[*labels]] += rng.normal(0.0, spread, (len(particles), len(labels)))
    mean = read_star("truth/micrographs.star")["micrographs"].set_index("rlnMicrographName")
    for label in ("rlnDefocusU", "rlnDefocusV"):
        particles[label] = mean[label].loc[particles["rlnMicrographName"]].to_numpy()
    density = read_mrc(TRUE_MAP)[0]
    write_mrc("start.mrc", low_pass(density, 15.0, pixel), pixel)
    write_text("config.yaml", CONFIG.format(pixel=pixel, dose=DOSE, box=box))
    write_star("start.star", {"optics": truth["optics"][known], "particles": particles})


def extracted(cores: int) -> str:
    """Align the movies and cut out the particles, by Snakemake; write what is true of them; return their file."""
    command = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "Snakefile"), "--cores",
               str(cores), "--quiet", "all"]
    subprocess.run(command, check=True)
    tables, truth = read_star("Extract/particles/particles.star"), read_star("truth/particles.star")["particles"]
    particles = tables["particles"].copy()
    places = ["rlnCoordinateX", "rlnCoordinateY"]
    if not np.array_equal(particles[places], truth[places]):
        raise SystemExit("the particles are not in the order of the truth")
    for label in truth:
        if label.startswith(("rlnAngle", "rlnOrigin", "rlnDefocus")):
            particles[label] = truth[label]
    write_star(IMAGES, {"optics": tables["optics"].assign(**LENS.columns()), "particles": particles})
    return "Extract/particles/particles.star"


def masks(steps: Steps) -> list[list[str]]:
    """Return the command that makes the mask, of the true map, for all refinements."""
    Path("mask").mkdir(exist_ok=True)
    return [steps.ours("maskcreate", "mask", {"map": TRUE_MAP}, extend=4, unit="angstrom")]


def kept() -> None:
    """Write the mask of what Subtract keeps: the half of the particle at positive x."""
    mask, pixel = read_mrc(MASK)
    x = np.arange(len(mask)) - len(mask) // 2
    write_mrc(KEPT, (mask * (0.5 + 0.5 * np.tanh(x * pixel / 4.0))).astype(np.float32), pixel)


def refined(steps: Steps, name: str, star: str, before: str | None = None) -> None:
    """Refine particles, and post-process with both programs; then Refine3D/NAME, PostProcess/NAME and its like."""
    for folder in ("Refine3D", "PostProcess", "RelionPostProcess"):
        Path(folder, name).mkdir(parents=True, exist_ok=True)
    root, half = f"Refine3D/{name}/run", f"Refine3D/{name}/run_half1_class001_unfil.mrc"
    reference = f"Refine3D/{before}/run_class001.mrc" if before else "start.mrc"
    steps.do(f"refine_{name}", [steps.ours(
        "refine3d", f"Refine3D/{name}", {"particles": star, "reference": reference, "mask": MASK}, symmetry="D4",
        particle_diameter=DIAMETER, initial_lowpass=8.0 if before else 15.0, sampling="1.8 degrees", offset_range=3.0,
        offset_step=1.0, max_iterations=steps.iterations, pictures=False, seed=1)], dict)
    steps.do(f"postprocess_{name}", [steps.ours("postprocess", f"PostProcess/{name}", {
        "half_maps": half, "mask": MASK})], lambda: map_figures(root, f"PostProcess/{name}/postprocess.star"))
    steps.do(f"postprocess_{name}_relion", [relion(
        "postprocess", f"RelionPostProcess/{name}/postprocess", f"--i {half} --mask {MASK} --auto_bfac")],
        lambda: map_figures(root, f"RelionPostProcess/{name}/postprocess.star"))


def lenses(steps: Steps) -> None:
    """Run CtfRefine of both programs, from the first refinement."""
    post, star = "PostProcess/first/postprocess.star", "Refine3D/first/run_data.star"
    limit = float(read_star(post)["general"]["rlnFinalResolution"].iloc[0])
    steps.do("before_ctf", [["true"]], lambda: lens_figures(star, limit) | least_errors(limit))
    Path("CtfRefine/ours").mkdir(parents=True, exist_ok=True)
    steps.do("ctf_ours", [steps.ours("ctfrefine", "CtfRefine/ours", {"particles": star, "postprocess": post})],
             lambda: lens_figures("CtfRefine/ours/particles_ctf_refine.star", limit))
    commands = []
    for number, fit in enumerate(("--fit_beamtilt --kmin_tilt 30 --odd_aberr_max_n 3 --fit_aberr --kmin_aberr 30",
                                  "--fit_aniso --kmin_mag 30", "--fit_defocus --kmin_defocus 30 --fit_mode fpmff"), 1):
        Path(f"CtfRefine/relion{number}").mkdir(parents=True, exist_ok=True)
        commands.append(relion("ctf_refine", f"CtfRefine/relion{number}/",
                               f"--i {star} --f {post} --j {steps.threads} {fit}"))
        star = f"CtfRefine/relion{number}/particles_ctf_refine.star"
    steps.do("ctf_relion", commands, lambda: lens_figures(star, limit))


def polished(steps: Steps) -> None:
    """Run Polish of both programs, from the refinement after our CtfRefine."""
    inputs = {"particles": "Refine3D/ctf_ours/run_data.star", "postprocess": "PostProcess/ctf_ours/postprocess.star",
              "micrographs": "MotionCorr/motion/corrected_micrographs.star"}
    steps.do("before_polish", [["true"]], lambda: track_figures("", "MotionCorr/motion/Movies"))
    for name in ("ours", "relion"):
        Path(f"Polish/{name}").mkdir(parents=True, exist_ok=True)
    steps.do("polish_ours", [steps.ours("polish", "Polish/ours", inputs)], lambda: track_figures("Polish/ours"))
    steps.do("polish_relion", [relion(
        "motion_refine", "Polish/relion/", f"--i {inputs['particles']} --f {inputs['postprocess']} --corr_mic "
        f"{inputs['micrographs']} --s_vel 0.2 --s_div 5000 --s_acc 2 --combine_frames --bfac_minfreq 20 --j "
        f"{steps.threads}")], lambda: track_figures("Polish/relion"))


def subtracted(steps: Steps) -> None:
    """Run Subtract of both programs, from the refinement after our CtfRefine."""
    kept()
    optimiser = "Refine3D/ctf_ours/run_optimiser.star"
    for name in ("ours", "relion"):
        Path(f"Subtract/{name}").mkdir(parents=True, exist_ok=True)
    steps.do("subtract_ours", [steps.ours("subtract", "Subtract/ours", {"optimiser": optimiser, "mask": KEPT})],
             lambda: subtraction_figures("Subtract/ours/particles_subtracted.star"))
    steps.do("subtract_relion", [relion("particle_subtract", "Subtract/relion/", f"--i {optimiser} --mask {KEPT}")],
             lambda: subtraction_figures("Subtract/relion/particles_subtracted.star"))


def main() -> None:
    """Do what is not done yet, and print all results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "full_resolution")
    parser.add_argument("--movies", type=int, default=60)
    parser.add_argument("--pixel_size", type=float, default=1.0)
    parser.add_argument("--iterations", type=int, default=7, help="of each refinement, at most")
    parser.add_argument("--cores", type=int, default=2)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(given.folder)
    make(given.movies, given.pixel_size)
    star, steps = extracted(given.cores), Steps(given.cores, given.iterations)
    steps.do("mask", masks(steps), dict)
    refined(steps, "first", star)
    lenses(steps)
    refined(steps, "ctf_ours", "CtfRefine/ours/particles_ctf_refine.star", "first")
    refined(steps, "ctf_relion", "CtfRefine/relion3/particles_ctf_refine.star", "first")
    subtracted(steps)
    polished(steps)
    refined(steps, "polish_ours", "Polish/ours/shiny.star", "ctf_ours")
    refined(steps, "polish_relion", "Polish/relion/shiny.star", "ctf_ours")


if __name__ == "__main__":
    main()
