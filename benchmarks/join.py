#!/usr/bin/env python3
"""Two sessions with different optics, joined and refined, against one session of as many particles.

    python benchmarks/join.py [--seeds 6] [--first_seed 1] [--particles 200] [--box 64] [--snr 0.1]

Both sessions are of one particle (D2), on microscopes of 300 and 200 kV with other aberrations and amplitude contrast,
and call their optics group opticsGroup1, as sessions do. Refined are, with `--particles` in all: either session alone
(`one`), half of each, joined (`joined`), and the joined list as it is where groups are merged by name alone (`by name`:
the first session's values count for both). Prints for each seed the mean FSC of the map with the truth to Nyquist,
aligned first and within the particle's diameter, and the median error of the orientations (nearest symmetry mate). The
exit code is 1 if `joined` is further from `one` than twice the error of that difference, from the spread of the seeds,
or `by name` is not: then the data could not tell.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

import numpy as np

from cryosnake.io.mrc import read_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.joinstar import JOB as JOIN
from cryosnake.jobs.refine3d import JOB as REFINE
from cryosnake.numerics.alignment import align_maps
from cryosnake.numerics.ctf import Microscope
from cryosnake.numerics.euler import angular_distance
from cryosnake.numerics.fsc import fsc
from cryosnake.numerics.refine.grids.images import soft_disc
from cryosnake.numerics.symmetry import nearest_mate
from cryosnake.programs.joinstar import joinstar
from cryosnake.programs.refine3d import recipe as refine3d
from cryosnake.programs.refinement.particles import MASK_EDGE, read_particles
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles
from cryosnake.simulation.protein import pseudo_protein

MICROSCOPES = (Microscope(300.0, 2.7, 0.1), Microscope(200.0, 1.4, 0.07))
SYMMETRY, RESIDUES, DIAMETER, LOW_PASS = "D2", 1500, 180.0, 40.0
WAYS = ("one", "joined", "by name")


def simulate(given: argparse.Namespace, seed: int) -> None:
    """Write a session of each microscope, session1 and session2, and from these the lists that are refined."""
    atoms = pseudo_protein(SYMMETRY, RESIDUES, given.first_seed)
    for number, microscope in enumerate(MICROSCOPES, 1):
        settings = StackSettings(count=given.particles, box=given.box, pixel_size=3.5 * 64 / given.box, snr=given.snr,
                                 symmetry=SYMMETRY, microscope=microscope, seed=2 * seed + number,
                                 prefix=f"session{number}/")
        simulate_particles(f"session{number}", settings, atoms=atoms)
        for name in ("particles", "truth/particles"):
            tables = read_star(f"session{number}/{name}.star")
            rows = tables["particles"]
            rows["rlnMicrographName"] = [f"session{number}/{one}" for one in rows["rlnMicrographName"]]
            write_star(f"session{number}/{name}.star", tables)
            write_star(f"session{number}/{name}_half.star", tables | {"particles": rows[:given.particles // 2]})
    for folder, name in (("joined", "particles"), ("joined/truth", "truth/particles")):
        Path(folder).mkdir()
        halves = {f"particles{number}": f"session{number}/{name}_half.star" for number in (1, 2)}
        joinstar.run(JOIN.options(), halves, folder, lambda *_: None)
    Path("by name").mkdir()
    tables = read_star("joined/join_particles.star")
    assert len(tables["optics"]) == 2
    tables["particles"]["rlnOpticsGroup"] = 1
    write_star("by name/particles.star", tables | {"optics": tables["optics"][:1]})


def refined(particles: str, truth: str, seed: int) -> tuple[float, float]:
    """Refine a list; return the mean FSC with the truth, and the median error of the orientations in degrees."""
    out = f"{particles.replace('/', '_')}_refined"
    Path(out).mkdir()
    options = REFINE.options(particle_diameter=DIAMETER, initial_lowpass=LOW_PASS, symmetry=SYMMETRY, seed=seed)
    with open(f"{out}/log.txt", "w") as log, contextlib.redirect_stdout(log):
        refine3d.run(options, {"particles": particles, "reference": "session1/truth/map.mrc"}, out, lambda *_: None)
    density, pixel_size = read_mrc("session1/truth/map.mrc")
    ball = soft_disc(len(density), DIAMETER / 2 / pixel_size, MASK_EDGE, 3)
    curve = fsc(align_maps(read_mrc(f"{out}/run_class001.mrc")[0], density)[0] * ball, density * ball)
    found, true = read_particles(f"{out}/run_data.star"), read_particles(truth)
    order = np.argsort(found.table["rlnImageName"].to_numpy())
    poses, known = found.poses()[order], true.poses()[np.argsort(true.table["rlnImageName"].to_numpy())]
    return float(curve[1:].mean()), float(np.median(angular_distance(nearest_mate(known, poses, SYMMETRY), poses)))


def measure(given: argparse.Namespace, seed: int) -> dict[str, list[tuple[float, float]]]:
    """Return the figures of each way for one seed; two of `one`."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        with open("log.txt", "w") as log, contextlib.redirect_stdout(log):
            simulate(given, seed)
        joined = "joined/truth/join_particles.star"
        alone = [(f"session{n}/particles.star", f"session{n}/truth/particles.star") for n in (1, 2)]
        return {"one": [refined(*files, seed) for files in alone],
                "joined": [refined("joined/join_particles.star", joined, seed)],
                "by name": [refined("by name/particles.star", joined, seed)]}


def main() -> int:
    """Measure all seeds, print them and the differences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, kind, default in (("seeds", int, 6), ("first_seed", int, 1), ("particles", int, 200), ("box", int, 64),
                                ("snr", float, 0.1)):
        parser.add_argument(f"--{name}", type=kind, default=default)
    given = parser.parse_args()
    figures: dict[str, list[float]] = {way: [] for way in WAYS}
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        found = measure(given, seed)
        for way in WAYS:
            figures[way].append(float(np.mean([curve for curve, _ in found[way]])))
        print(f"seed {seed}: " + "; ".join(f"{way} {' and '.join(f'{c:.3f}, {e:.2f} degrees' for c, e in found[way])}"
                                           for way in WAYS), flush=True)
    one = np.array(figures["one"])
    far = {}
    for way in WAYS[1:]:
        difference = np.array(figures[way]) - one
        error = np.hypot(one.std(ddof=1), np.std(figures[way], ddof=1)) / np.sqrt(given.seeds)
        far[way] = abs(difference.mean()) > 2 * error
        print(f"{way} - one: mean FSC {difference.mean():+.4f} ± {error:.4f}: "
              f"{'different' if far[way] else 'the same within the noise of the seeds'}")
    return int(far["joined"] or not far["by name"])


if __name__ == "__main__":
    sys.exit(main())
