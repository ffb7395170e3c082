#!/usr/bin/env python3
"""Class3D from the consensus initial model, on an independent simulator's 60:40 mixtures of two conformations.

    python benchmarks/conformations.py --simulator FOLDER [--folder conformations] [--seeds 82001 82002 82003]

FOLDER holds sim.py. For each seed: 1,000 particles of box 64, then initialmodel and 15 iterations of class3d with two
classes, all else as it is by default. What is finished in `--folder` is not done again. 1 when fewer particles than
asked for are in the right class, or a class has died.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ctf_picking import run

from cryosnake.io.star import read_star

CONFIG = """title: {name}
jobs:
  initial: {{type: initialmodel, particles: particles.star, particle_diameter: 210}}
  classes: {{type: class3d, particles: particles.star, reference: initial.map, classes: 2, particle_diameter: 210,
            iterations: 15}}
"""
PARTICLES, LEAST = 1000, 0.85


def main() -> int:
    """Print the figures of each seed; the exit code says whether they are as good as asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulator", type=lambda path: Path(path).resolve(), required=True)
    parser.add_argument("--folder", type=Path, default=Path("conformations"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[82001, 82002, 82003])
    parser.add_argument("--cores", type=int, default=2)
    given = parser.parse_args()
    os.environ["SIM_CONF"] = "1"
    good = True
    for seed in given.seeds:
        project = (given.folder / f"conformations_{seed}").resolve()
        make(project, given.simulator, seed, given.cores)
        good &= judge(project, seed)
    return 0 if good else 1


def make(project: Path, simulator: Path, seed: int, cores: int) -> None:
    """Simulate the particles and classify them, where that is not done."""
    project.mkdir(parents=True, exist_ok=True)
    if not (project / "config.json").exists():
        run(project, simulator / "sim.py", "stack", "--out", ".", "--seed", str(seed), "--model", "bgalcut", "--n",
            str(PARTICLES), "--box", "64", "--jobs", str(cores))
    (project / "config.yaml").write_text(CONFIG.format(name=project.name))
    run(project, "-m", "cryosnake.cli", "run", "--cores", str(cores), "--quiet", "all")


def judge(project: Path, seed: int) -> bool:
    """Print how many particles are in the right class; return whether they are enough."""
    found = read_star(sorted((project / "Class3D/classes").glob("run_it*_data.star"))[-1])["particles"]
    second = found["rlnImageName"].str.split("@").str[0].astype(int).sub(1).mod(5).ge(3)  # as sim.py mixes them
    sizes = found["rlnClassNumber"].value_counts().sort_index()
    right = ((found["rlnClassNumber"] == 2) == second).mean()
    right = max(right, 1 - right)
    print(f"seed {seed}: {right:.1%} in the right class; classes of {' and '.join(map(str, sizes))}", flush=True)
    return right >= LEAST and len(sizes) == 2


if __name__ == "__main__":
    sys.exit(main())
