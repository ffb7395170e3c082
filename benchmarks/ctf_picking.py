#!/usr/bin/env python3
"""Defaults of CTF estimation and picking on an independent simulator: movies of new seeds, judged by its own programs.

    python benchmarks/ctf_picking.py --simulator FOLDER [--folder ctf_picking] [--seeds 81001 81002 81003] [--sets bgal]

FOLDER holds sim.py, eval_ctf.py and eval_picks.py. For each set and seed: movies, then import, motioncorr, ctffind and
autopick as they are by default. What is finished in `--folder` is not done again. 1 when a figure is worse than is
asked for.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cryosnake.io.star import read_star

CONFIG = """title: {name}
microscope: {{voltage: 300, spherical_aberration: 2.7, amplitude_contrast: 0.1, pixel_size: 1.35,
             dose_per_frame: {dose}, gain: Movies/gain.mrc}}
jobs:
  movies: {{type: import, movies: "Movies/*.tiff", settling_time: 0}}
  motion: {{type: motioncorr, movies: movies, patches: [4, 4]}}
  ctf:    {{type: ctffind, micrographs: motion{phase}}}
  picks:  {{type: autopick, micrographs: motion, diameter: [{diameter}]}}
"""
MOST_DEFOCUS, MOST_ASTIGMATISM = 20.0, 80.0  # Å, medians
MOST_BIAS, MOST_PHASE = 50.0, 2.0  # Å and degrees, phase plate


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Arguments of sim.py, number of movies, dose per frame (e/Å²), diameters (Å); limits of F1 and of centres (Å)."""

    arguments: str
    movies: int
    dose: float = 1.8
    diameter: str = "130, 190"
    f1: float = 0.96
    centre: float = 4.0
    phase: bool = False


SETS = {
    "bgal": DataSet(arguments="--model bgal", movies=24),
    "apof": DataSet(arguments="--model apof", movies=6, diameter="115, 135", f1=0.94, centre=5.0),
    "low_dose": DataSet(arguments="--dose 0.9 --ice 0.1 --dmin 3000 --dmax 35000", movies=8, dose=0.9, f1=0.95,
                        centre=5.0),
    "phase_plate": DataSet(arguments="--phase-plate", movies=6, phase=True),
}


def main() -> int:
    """Print the figures of each set and seed; the exit code says whether they are as good as asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulator", type=lambda path: Path(path).resolve(), required=True)
    parser.add_argument("--folder", type=Path, default=Path("ctf_picking"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[81001, 81002, 81003])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--movies", type=int, help="fewer movies than usual, for a quick look")
    parser.add_argument("--cores", type=int, default=2)
    given = parser.parse_args()
    good = True
    for name in given.sets:
        for seed in given.seeds:
            project = (given.folder / f"{name}_{seed}").resolve()
            movies = given.movies or SETS[name].movies
            make(project, given.simulator, SETS[name], seed, movies, given.cores)
            good &= judge(project, given.simulator, f"{name}, seed {seed}", SETS[name])
    return 0 if good else 1


def make(project: Path, simulator: Path, data: DataSet, seed: int, movies: int, cores: int) -> None:
    """Simulate the movies and process them, where that is not done."""
    project.mkdir(parents=True, exist_ok=True)
    if not (project / "truth/config.json").exists():
        run(project, simulator / "sim.py", "movies", "--out", ".", "--seed", str(seed), "--n-movies", str(movies),
            "--jobs", str(cores), *data.arguments.split())
    (project / "config.yaml").write_text(CONFIG.format(
        name=project.name, dose=data.dose, diameter=data.diameter, phase=", phase_shift: true" * data.phase))
    run(project, "-m", "cryosnake.cli", "run", "--cores", str(cores), "--quiet", "all")


def judge(project: Path, simulator: Path, label: str, data: DataSet) -> bool:
    """Print the figures of the simulator's judges; return whether all are within the limits."""
    table = read_star(project / "CtfFind/job003/micrographs_ctf.star")["micrographs"]
    ctf = run(project, simulator / "eval_ctf.py", "--truth", "truth", "--star", "CtfFind/job003/micrographs_ctf.star")
    picks = run(project, simulator / "eval_picks.py", "--truth", "truth", "--star",
                "AutoPick/job004/Movies/*_autopick.star")
    defocus, bias, astigmatism, wrong = numbers(
        r"^all .*median=(\S+) A .*bias=(\S+) A;.*median=(\S+) A; failures.*=(\d+)", ctf)
    f1, centre = numbers(r"^all .*F1=(\S+)", picks)[0], numbers(r"matched picks (\S+) A", picks)[0]
    movies = len(list((project / "Movies").glob("*.tiff")))
    print(f"{label}: {len(table)} of {movies} kept, {wrong:.0f} wrong; defocus {defocus:.0f} Å (bias {bias:+.0f}), "
          f"astigmatism {astigmatism:.0f} Å; F1 {f1:.3f}, centres {centre:.1f} Å", flush=True)
    good = len(table) == movies and wrong == 0 and f1 >= data.f1 and centre <= data.centre
    if not data.phase:
        return good and defocus <= MOST_DEFOCUS and astigmatism <= MOST_ASTIGMATISM
    phase = phase_bias(project, table)
    print(f"  bias of the phase {phase:+.1f} degrees", flush=True)
    return good and abs(bias) <= MOST_BIAS and abs(phase) <= MOST_PHASE


def phase_bias(project: Path, table: pd.DataFrame) -> float:
    """Return the median of the fitted minus the true phase shifts in degrees."""
    truth = read_star(project / "truth/movies.star")["movies"].set_index("rlnMicrographMovieName")["rlnPhaseShift"]
    names = [f"Movies/{Path(name).stem}" for name in table["rlnMicrographName"]]
    return float(np.median(table["rlnPhaseShift"].to_numpy() - truth.loc[names].to_numpy()))


def numbers(pattern: str, text: str) -> list[float]:
    """Return the numbers that a pattern finds in a judge's report."""
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"no figure {pattern!r} in this report:\n{text}")
    return [float(value) for value in found.groups()]


def run(folder: Path, *command: str | Path) -> str:
    """Run a Python program in a folder and return what it prints."""
    done = subprocess.run([sys.executable, *map(os.fspath, command)], cwd=folder, capture_output=True, text=True,
                          check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} in {folder} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
