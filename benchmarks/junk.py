#!/usr/bin/env python3
"""Junk among picks: what Class2D and Select (`minimum_score: 0.5`) keep and drop, of simulated and of real picks.

    python benchmarks/junk.py [--seeds 1 2 3] [--data FOLDER] [--simulator FOLDER] [--folder junk]

Simulated: 600 particles of which a fifth are false, as benchmarks/class2d.py makes them. `--data`, a folder of real
data sets: the 1,408 LoG picks of β-galactosidase, of which 707 lie near a particle that RELION 3.1 refined (its
classifications dropped others, so that many of the rest are particles, too). `--simulator`, a folder of sim.py: movies
through picking and extraction, with false picks on empty ice; what is finished in `--folder` is not done again. 1 when
less is kept or dropped than is asked for.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from class2d import classify, junk, kept
from ctf_picking import SETS, make, run
from scipy.spatial import cKDTree

from cryosnake.io.star import read_star, write_star

REAL_KEPT, REAL_DROPPED = 0.96, 0.125  # means over the seeds: of known particles, of all other picks
SIMULATED_KEPT, SIMULATED_DROPPED = 0.97, 0.90  # each of the simulated stacks, and the mean of the sets of movies
FAR = 80.0  # Å from the next refined particle: nothing that was refined is in the picture's middle
FALSE_PER_MICROGRAPH = 14
MOVIES = {"bgal": 200, "low_dose": 200, "apof": 150}  # particle diameters, Å
TABLE = "Refine3D/job019/run_data.star"
AFTERWARDS = """  cut:     {{type: extract, micrographs: ctf, coordinates: false/all.star, box_size: 192, rescale: 64}}
  classes: {{type: class2d, particles: cut, classes: 8, particle_diameter: {diameter}}}
  good:    {{type: select, particles: classes.particles, model: classes.model, minimum_score: 0.5}}
"""


def simulated() -> bool:
    """Print what becomes of simulated false picks."""
    good = True
    for kinds, snr, seed in (("usual", 0.1, 6), ("usual", 0.05, 7), ("shapes", 0.1, 6)):
        _, _, dropped, stay = junk(seed, 600, snr, 12, kinds)
        good &= stay >= SIMULATED_KEPT and (dropped >= SIMULATED_DROPPED or kinds == "shapes")
    return good


def real(data: Path, seeds: list[int]) -> bool:
    """Print what becomes of the real picks, and how their classes score."""
    folder, here, figures = data / "bgal_k2_particles", Path.cwd(), []
    picks = read_star(folder / "particles_all_goodctf.star")["particles"]
    known = picks["rlnImageName"].isin(read_star(folder / "known_poses.star")["particles"]["rlnImageName"]).to_numpy()
    far = away(picks, refined(data)) > FAR
    for seed in seeds:
        with contextlib.chdir(folder):
            rows, table, seconds = classify("particles_all_goodctf.star", str(here / f"real_{seed}"), classes=20,
                                            particle_diameter=200.0, seed=seed)
        for name, keep in zip(("classes", "classes and particle scores"), kept(rows, table), strict=True):
            figures.append((keep[known].mean(), (~keep[~known]).mean(), keep[far].mean()))
            print(f"real picks, seed {seed}, by {name}: {figures[-1][0]:.1%} of {known.sum()} known particles kept, "
                  f"{figures[-1][1]:.1%} of {(~known).sum()} others dropped; of {far.sum()} with no refined particle "
                  f"within {FAR:g} Å {figures[-1][2]:.1%} stay; {seconds:.0f} CPU s", flush=True)
        tell_classes(rows, table, known)
    stay, dropped, _ = np.mean(figures[1::2], axis=0)
    print(f"real picks, mean of {len(seeds)} seeds: {stay:.1%} kept, {dropped:.1%} of the others dropped", flush=True)
    return bool(stay >= REAL_KEPT and dropped >= REAL_DROPPED)


def tell_classes(rows: pd.DataFrame, table: pd.DataFrame, known: np.ndarray) -> None:
    """Print score, size, share of known particles and resolution of each class."""
    for k in np.argsort(-table["rlnClassScore"].to_numpy(float)):
        mine = rows["rlnClassNumber"].to_numpy(int) == k + 1
        if mine.any():
            print(f"    score {table['rlnClassScore'][k]:.2f}: {mine.sum():4d} picks, {known[mine].mean():.0%} known, "
                  f"{table['rlnEstimatedResolution'][k]:.0f} Å")


def refined(data: Path) -> pd.DataFrame:
    """Return the particles that RELION 3.1 refined."""
    with tarfile.open(data / "relion31_project_bgal/relion_tutorial_files.tar.xz") as archive:
        name = next(name for name in archive.getnames() if name.endswith(TABLE))
        with tempfile.TemporaryDirectory() as folder:
            archive.extract(name, folder, filter="data")
            return read_star(Path(folder) / name)["particles"]


def away(picks: pd.DataFrame, particles: pd.DataFrame, pixel_size: float = 0.885) -> np.ndarray:
    """Return the distance in Å from each pick to the next particle of its micrograph, at its refined place."""
    distance = np.full(len(picks), np.inf)
    theirs, ours = (table["rlnMicrographName"].str.rsplit("/").str[-1].to_numpy(str) for table in (particles, picks))
    place = places(particles) * pixel_size - particles[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy(float)
    for name in np.unique(ours):
        tree = cKDTree(place[theirs == name])
        distance[ours == name] = tree.query(places(picks)[ours == name] * pixel_size)[0]
    return distance


def places(table: pd.DataFrame) -> np.ndarray:
    """Return coordinates (n, 2), pixels."""
    return table[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy(float)


def movies(simulator: Path, folder: Path, name: str, cores: int) -> tuple[float, float]:
    """Print what becomes of picks of simulated movies, to which false ones were added: shares kept and dropped."""
    project = (folder / f"{name}_86001").resolve()
    make(project, simulator, SETS[name], 86001, 6, cores)
    if not (project / "false/all.star").exists():
        add_false_picks(project)
    config = project / "config.yaml"
    config.write_text(config.read_text() + AFTERWARDS.format(diameter=MOVIES[name]))
    run(project, "-m", "cryosnake.cli", "run", "--cores", str(cores), "--quiet", "all")
    picks = read_star(next(project.glob("Extract/job*/particles.star")))["particles"]
    passed = read_star(next(project.glob("Select/job*/particles.star")))["particles"]["rlnImageName"]
    keep, distance = picks["rlnImageName"].isin(passed).to_numpy(), from_truth(project, picks)
    true, false = distance < 40.0, distance > 70.0
    stay, dropped = float(keep[true].mean()), float((~keep[false]).mean())
    print(f"{name}: {stay:.1%} of {true.sum()} particles kept, {dropped:.1%} of {false.sum()} false picks dropped",
          flush=True)
    return stay, dropped


def add_false_picks(project: Path) -> None:
    """Write the picks and as many false ones, 75 Å and more from each particle, for each micrograph."""
    rng, files = np.random.default_rng(5), []
    (project / "false").mkdir(exist_ok=True)
    for path in sorted(project.glob("AutoPick/job004/Movies/*_autopick.star")):
        name, table = path.name.removesuffix("_autopick.star"), next(reversed(read_star(path).values()))
        spots = pd.DataFrame(rng.uniform(60, 964, (2000, 2)), columns=["rlnCoordinateX", "rlnCoordinateY"])
        spots = spots.assign(rlnMicrographName=f"MotionCorr/job002/Movies/{name}.mrc")
        free = places(spots[from_truth(project, spots) > 75.0])[:FALSE_PER_MICROGRAPH]
        extra = pd.DataFrame(0, index=range(len(free)), columns=table.columns).astype(table.dtypes)
        extra[["rlnCoordinateX", "rlnCoordinateY"]] = free
        write_star(project / f"false/{name}.star", {"": pd.concat([table, extra], ignore_index=True)})
        files.append((f"MotionCorr/job002/Movies/{name}.mrc", f"false/{name}.star"))
    write_star(project / "false/all.star", {"coordinate_files": pd.DataFrame(
        files, columns=["rlnMicrographName", "rlnMicrographCoordinates"])})


def from_truth(project: Path, picks: pd.DataFrame, pixel_size: float = 1.35) -> np.ndarray:
    """Return the distance in Å from each pick to the next true particle."""
    truth, distance = read_star(project / "truth/particles.star")["particles"], np.full(len(picks), np.inf)
    names = picks["rlnMicrographName"].map(lambda name: Path(name).stem).to_numpy(str)
    theirs = truth["rlnMicrographMovieName"].map(lambda name: Path(name).stem).to_numpy(str)
    for name in np.unique(names):
        tree = cKDTree(places(truth)[theirs == name])
        distance[names == name] = tree.query(places(picks)[names == name])[0] * pixel_size
    return distance


def main() -> int:
    """Run the cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--data", type=lambda path: Path(path).resolve())
    parser.add_argument("--simulator", type=lambda path: Path(path).resolve())
    parser.add_argument("--folder", type=Path, default=Path("junk"))
    parser.add_argument("--cores", type=int, default=2)
    given: Any = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        good = simulated()
        if given.data is not None:
            good &= real(given.data, given.seeds)
    if given.simulator is not None:
        stay, dropped = np.mean([movies(given.simulator, given.folder, name, given.cores) for name in MOVIES], axis=0)
        good &= bool(stay >= SIMULATED_KEPT and dropped >= SIMULATED_DROPPED)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
