"""A small simulated project and the call of Snakemake on it, shared by the workflow tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cryosnake.programs.simulate.project import simulate_project

ROOT = Path(__file__).resolve().parent.parent.parent
CONFIG = """
title: incremental
microscope: {voltage: 300, spherical_aberration: 2.7, amplitude_contrast: 0.1, pixel_size: 3.54, dose_per_frame: 6.0,
             gain: gain.mrc}
batch_size: 4
jobs:
  movies:    {type: import, movies: "Movies/*.tiff", settling_time: 0}
  motion:    {type: motioncorr, movies: movies, patches: [1, 1]}
  ctf:       {type: ctffind, micrographs: motion, resmax: 8, box: 256, max_resolution: 30, min_figure_of_merit: -1}
  picks:     {type: autopick, micrographs: ctf, method: log, diameter: [140, 180]}
  particles: {type: extract, micrographs: ctf, coordinates: picks, box_size: 64, rescale: 32}
"""


def simulate(folder: Path, movies: int, size: int = 384) -> None:
    """Simulate small movies of large pixels: every step of the chain takes a fraction of a second on each."""
    simulate_project(folder, movies=movies, size=(size, size), frames=4, pixel_size=3.54, particles_per_movie=15,
                     dose_per_frame=6.0, box=32, box_pixel_size=7.08, contaminated=0.0)


def snakemake(project: Path, *extra: str) -> str:
    result = subprocess.run(command(project, *extra), capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    return result.stdout + result.stderr


def command(project: Path, *extra: str) -> list[str]:
    program = Path(sys.executable).with_name("snakemake")
    return [str(program), "--snakefile", str(ROOT / "Snakefile"), "--directory", str(project), "--cores", "2", *extra]
