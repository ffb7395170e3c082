#!/usr/bin/env python3
"""Refine3D of real particles without their poses, from a model low-passed to 50 Å: CPU seconds, and the map's quality.

    python benchmarks/refine_real.py --star known_poses.star --map 5a1a_box64_3.54A.mrc --check model_fsc.py
                                     [--symmetry D2] [--diameter 200] [--local_regularisation]

`--check` is a program that is called with the model, the two half maps and the map, and prints what it finds. Image
names in the STAR file are relative to its folder. One thread; compilation of kernels included when it is the first run.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.refine3d import JOB
from cryosnake.parallel.threads import thread_limit
from cryosnake.programs.refine3d import recipe as refine3d

LEARNT = ("rlnAngle", "rlnOrigin", "rlnRandomSubset")


def main() -> int:
    """Refine and check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("star", "map", "check"):
        parser.add_argument(f"--{name}", type=lambda path: Path(path).resolve(), required=True)
    parser.add_argument("--symmetry", default="D2")
    parser.add_argument("--diameter", type=float, default=200.0)
    parser.add_argument("--local_regularisation", action="store_true")
    given = parser.parse_args()
    options = JOB.options(particle_diameter=given.diameter, symmetry=given.symmetry, initial_lowpass=50.0, device="cpu",
                          local_regularisation=given.local_regularisation)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(given.star.parent):
        tables = read_star(given.star)
        particles = tables["particles"]
        known = [name for name in particles.columns if name.startswith(LEARNT)]
        write_star(f"{folder}/in.star", {**tables, "particles": particles.drop(columns=known)})
        with thread_limit(1):
            refine3d.run(options, {"particles": f"{folder}/in.star", "reference": str(given.map)}, folder,
                         lambda done, total, message: None)
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(f"{len(particles)} particles: {used.ru_utime + used.ru_stime:.0f} CPU s in all, "
              f"{used.ru_maxrss / 1024:.0f} MB", flush=True)
        maps = [f"{folder}/run_{name}.mrc" for name in ("half1_class001_unfil", "half2_class001_unfil", "class001")]
        subprocess.run([sys.executable, str(given.check), str(given.map), *maps], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
