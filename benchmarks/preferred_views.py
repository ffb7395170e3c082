#!/usr/bin/env python3
"""Preferred views on an independent simulator: InitialModel and Refine3D as they are, judged by its own program.

    python benchmarks/preferred_views.py --simulator FOLDER [--folder preferred_views] [--seeds 83001 83002 83003]

FOLDER holds sim.py and eval_refine.py. For each seed: 1,000 particles, 90 % of the views within 20 degrees of one axis,
then the median error of the poses, and whether both jobs warn. Views that are even come last: there neither warns. What
is finished in `--folder` is not done again. 1 when a figure is worse than is asked for.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

CONFIG = """title: preferred views
jobs:
  model:   {type: initialmodel, particles: data/particles.star, particle_diameter: 210}
  refined: {type: refine3d, particles: data/particles.star, reference: model.map, initial_lowpass: 40,
            particle_diameter: 210, keep_iterations: last}
"""
PART = "0.9"  # of the views, within 20 degrees
MOST = 2.5  # degrees, median error of poses
WARNING = "WARNING: the views are so uneven"


def main() -> int:
    """Print the figures of each seed; the exit code says whether they are as good as asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulator", type=lambda path: Path(path).resolve(), required=True)
    parser.add_argument("--folder", type=Path, default=Path("preferred_views"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[83001, 83002, 83003])
    parser.add_argument("--even", type=int, default=83004, help="seed of the particles with even views")
    parser.add_argument("--cores", type=int, default=2)
    given = parser.parse_args()
    good = True
    for seed, part in [*((seed, PART) for seed in given.seeds), (given.even, "0")]:
        project = (given.folder / f"seed_{seed}").resolve()
        make(project, given.simulator, seed, part, given.cores)
        good &= judge(project, given.simulator, seed, part != "0")
    return 0 if good else 1


def make(project: Path, simulator: Path, seed: int, part: str, cores: int) -> None:
    """Simulate the particles and process them, where that is not done."""
    project.mkdir(parents=True, exist_ok=True)
    if not (project / "data/truth.star").exists():
        run(project, simulator / "sim.py", "stack", "--out", "data", "--seed", str(seed), "--model", "bgalcut",
            "--n", "1000", "--box", "64", environment={"SIM_PREF": part})
    (project / "config.yaml").write_text(CONFIG)
    run(project, "-m", "cryosnake.cli", "run", "--cores", str(cores), "--quiet", "all")


def judge(project: Path, simulator: Path, seed: int, preferred: bool) -> bool:
    """Print the figures of the simulator's judge; return whether they are within the limits."""
    report = run(project, simulator / "eval_refine.py", "--truth", "data/truth.star", "--data",
                 "Refine3D/job002/run_data.star", "--map", "Refine3D/job002/run_class001.mrc")
    error, correlation = (float(re.search(pattern, report)[1]) for pattern in (r"median=(\S+)", r"cc15A=(\S+)"))
    warned = [WARNING in (project / job / "run.out").read_text() for job in ("InitialModel/job001", "Refine3D/job002")]
    print(f"seed {seed}, {'preferred' if preferred else 'even'} views: poses {error:.2f} degrees off (median), map and "
          f"truth to 15 Å {correlation:.3f}, {sum(warned)} of 2 jobs warned; all programs so far "
          f"{resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime:.0f} CPU s", flush=True)
    return error <= MOST and warned == [preferred] * 2


def run(folder: Path, *command: str | Path, environment: dict[str, str] | None = None) -> str:
    """Run a Python program in a folder and return what it prints."""
    done = subprocess.run([sys.executable, *map(os.fspath, command)], cwd=folder, capture_output=True, text=True,
                          check=False, env=os.environ | (environment or {}))
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} in {folder} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
