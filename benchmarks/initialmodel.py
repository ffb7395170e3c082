#!/usr/bin/env python3
"""Initial models from particles alone against the truth: correlation to 20 Å for several seeds, verdict, CPU seconds.

    python benchmarks/initialmodel.py [--particles 1000] [--snr 0.05] [--symmetry C1] [--seeds 5] [--refine]
    python benchmarks/initialmodel.py --star particles.star --map model.mrc --symmetry D2 --diameter 200

Prints one line per seed. Either hand counts: which one came out is printed. `--refine` refines the map of the first
seed, and the true one low-passed, and prints the FSC of both with the truth. The second form takes given particles
(their poses and origins are removed) and a map of the same box in place of simulated ones; image names in the STAR file
are relative to its folder.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np

from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs import initialmodel as initialmodel_job
from cryosnake.jobs import refine3d as refine3d_job
from cryosnake.numerics.alignment import align_maps
from cryosnake.numerics.fsc import fsc
from cryosnake.numerics.map_resample import resample_map
from cryosnake.numerics.refine.sums.maximisation import low_pass
from cryosnake.programs.initialmodel import recipe as initialmodel
from cryosnake.programs.refine3d import recipe as refine3d
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles

PIXEL_SIZE, RESOLUTION, COMPARED_BOX = 3.5, 20.0, 32
POSES = tuple(f"rln{name}" for name in ("AngleRot", "AngleTilt", "AnglePsi", "OriginXAngst", "OriginYAngst",
                                        "RandomSubset"))


def cpu_seconds() -> float:
    """Return user and system time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def options(job, given, **changed):  # type: ignore[no-untyped-def]
    """Return a job type's options: defaults but for those given."""
    return job.JOB.options(**{"particle_diameter": given.diameter, "symmetry": given.symmetry} | changed)


def quietly(program, chosen, inputs, out: Path) -> float:  # type: ignore[no-untyped-def]
    """Run a program without its messages and return its CPU seconds."""
    out.mkdir(parents=True, exist_ok=True)
    before = cpu_seconds()
    with contextlib.redirect_stdout(io.StringIO()):
        program.run(chosen, inputs, out, lambda done, total, message: None)
    return cpu_seconds() - before


def correlation(found: np.ndarray, truth: np.ndarray, length: float) -> tuple[float, bool]:
    """Return the correlation to 20 Å after alignment, and whether the other hand fits better."""
    maps = [low_pass(resample_map(volume, COMPARED_BOX), length / COMPARED_BOX, RESOLUTION)
            for volume in (found, truth)]
    aligned, how = align_maps(*maps, mirror_test=True, search_radius=8, refine_radius=int(length / RESOLUTION) + 1,
                              angular_step=20.0)
    return float(np.corrcoef(aligned.ravel(), maps[1].ravel())[0, 1]), how.mirrored


def refined(given, star: Path, reference: Path, truth: np.ndarray, out: Path) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Return the FSC with the truth of a refinement from a map."""
    quietly(refine3d, options(refine3d_job, given, initial_lowpass=40.0), {"particles": star, "reference": reference},
            out)
    aligned, _ = align_maps(read_mrc(out / "run_class001.mrc")[0], truth, mirror_test=True)
    return fsc(aligned, truth)


def given_particles(given, folder: Path) -> tuple[Path, np.ndarray, float]:  # type: ignore[no-untyped-def]
    """Return the STAR file without poses, the true map and its pixel size; simulated unless files are given."""
    if given.star is None:
        simulate_particles(folder, StackSettings(count=given.particles, box=64, pixel_size=PIXEL_SIZE, snr=given.snr,
                                                 symmetry=given.symmetry, residues=1500))
        os.chdir(folder)
        return folder / "particles.star", *read_mrc(folder / "truth/map.mrc")
    tables = read_star(given.star)
    tables["particles"] = tables["particles"].drop(columns=[name for name in POSES if name in tables["particles"]])
    write_star(folder / "particles.star", tables)
    truth = read_mrc(given.map)
    os.chdir(given.star.parent)
    return folder / "particles.star", *truth


def main() -> int:
    """Make the maps and print how they compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, kind, default in (("particles", int, 1000), ("snr", float, 0.05), ("symmetry", str, "C1"),
                                ("diameter", float, 180.0), ("seeds", int, 5), ("starts", int, 3),
                                ("star", Path, None), ("map", Path, None)):
        parser.add_argument(f"--{name}", type=kind, default=default)
    parser.add_argument("--refine", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, right = Path(name), 0
        star, truth, pixel = given_particles(given, folder)
        for seed in range(1, given.seeds + 1):
            out = folder / f"seed{seed}"
            seconds = quietly(initialmodel, options(initialmodel_job, given, seed=seed, starts=given.starts),
                              {"particles": star}, out)
            found, mirrored = correlation(read_mrc(out / "initial_model.mrc")[0], truth, pixel * truth.shape[0])
            verdict = json.loads((out / "convergence.json").read_text())
            right += found > 0.85
            print(f"seed {seed}: correlation {found:.3f} ({'other' if mirrored else 'same'} hand), "
                  f"{'converged' if verdict['converged'] else 'not converged'} (starts "
                  f"{' '.join(f'{value:.2f}' for value in verdict['starts'])}, poses {verdict['reproduced']:.0%}, "
                  f"symmetry {verdict['symmetry']:.2f}), {seconds:.1f} CPU s", flush=True)
        print(f"{right} of {given.seeds} above 0.85")
        if given.refine:
            write_mrc(folder / "low.mrc", low_pass(truth, pixel, 40.0), pixel)
            curves = [refined(given, star, reference, truth, folder / reference.stem)
                      for reference in (folder / "seed1/initial_model.mrc", folder / "low.mrc")]
            for label, curve in zip(("initial model", "true map at 40 Å"), curves, strict=True):
                print(f"refined from the {label}: FSC with the truth {np.round(curve[1::3], 3)}, mean "
                      f"{curve[1:].mean():.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
