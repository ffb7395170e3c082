#!/usr/bin/env python3
"""Picking and extraction beside relion_autopick and relion_preprocess: CPU seconds, measured in the same run.

One simulated micrograph (balls in noise; the work doesn't depend on what is in the image) is picked and extracted by
both, several times. Ours is counted per micrograph within a batch (`process`), with `prepare` and the imports, which a
batch pays once, beside it; RELION's is a run over all copies divided by their number.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryosnake.io.mrc import write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.registry import job_types
from cryosnake.programs.micrographs import autopick, extract

IMPORTS = time.process_time()
OPTICS = {"rlnOpticsGroupName": "opticsGroup1", "rlnOpticsGroup": 1, "rlnMicrographOriginalPixelSize": 0.885,
          "rlnVoltage": 200.0, "rlnSphericalAberration": 1.4, "rlnAmplitudeContrast": 0.1,
          "rlnMicrographPixelSize": 0.885}
DIAMETER = (150.0, 180.0)


def main() -> None:
    """Print a table of CPU seconds per micrograph."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=3840, help="side of the micrograph in pixels of 0.885 Å")
    parser.add_argument("--copies", type=int, default=4, help="number of micrographs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        rows = write_project(arguments.size, arguments.copies)
        print(f"{arguments.copies} micrographs of {arguments.size} x {arguments.size} px; start of Python and imports "
              f"{IMPORTS:.2f} s")
        print(f"{'CPU seconds per micrograph':34s} {'ours':>8s} {'prepare':>8s} {'RELION':>8s} {'ratio':>7s}")
        blobs(rows)
        templates(rows[:1])
        particles(rows)


def blobs(rows: list[dict[str, Any]]) -> None:
    """Pick all micrographs as blobs."""
    picked = ours(autopick, rows, "AutoPick", {}, diameter=list(DIAMETER))
    theirs = relion("relion_autopick", "--i", "mics.star", "--odir", "theirs/", "--pickname", "autopick", "--LoG",
                    "--LoG_diam_min", str(DIAMETER[0]), "--LoG_diam_max", str(DIAMETER[1]), "--shrink", "0",
                    "--lowpass", "20")
    report("picking, blobs", picked, theirs, len(rows))


def templates(rows: list[dict[str, Any]]) -> None:
    """Pick micrographs with projections of a map."""
    write_mrc("reference.mrc", reference(), 3.54)
    write_star("one.star", {"optics": pd.DataFrame([OPTICS]), "micrographs": pd.DataFrame(rows)})
    picked = ours(autopick, rows, "Templates", {"reference": Path("reference.mrc")}, diameter=list(DIAMETER),
                  method="template", symmetry="D2", psi_step=10.0)
    Path("templates").mkdir()  # RELION writes the projections there before it makes the folder
    theirs = relion("relion_autopick", "--i", "one.star", "--odir", "templates/", "--pickname", "autopick", "--ref",
                    "reference.mrc", "--sym", "D2", "--healpix_order", "1", "--ang", "10", "--lowpass", "20", "--ctf",
                    "--invert", "--angpix_ref", "3.54", "--shrink", "0", "--threshold", "0", "--min_distance", "110",
                    "--particle_diameter", "180")
    report("picking, 12 templates x 36 psi", picked, theirs, len(rows))


def particles(rows: list[dict[str, Any]]) -> None:
    """Extract the blobs from all micrographs."""
    rows = [{**row, "rlnMicrographCoordinates": f"AutoPick/{row['rlnMicrographName'][:-4]}_autopick.star"}
            for row in rows]
    count = sum(len(read_star(row["rlnMicrographCoordinates"])[""]) for row in rows) / len(rows)
    extracted = ours(extract, rows, "Extract", {"coordinates": Path("autopick.star")}, box_size=256, rescale=64)
    theirs = relion("relion_preprocess", "--i", "mics.star", "--coord_dir", "AutoPick/", "--coord_suffix",
                    "_autopick.star", "--part_star", "parts/p.star", "--part_dir", "parts/", "--extract",
                    "--extract_size", "256", "--scale", "64", "--norm", "--bg_radius", "24", "--invert_contrast")
    report(f"extraction of {count:.0f}, box 256 to 64", extracted, theirs, len(rows))


def write_project(size: int, copies: int) -> list[dict[str, Any]]:
    """Write the micrographs and mics.star; return the rows."""
    rng = np.random.default_rng(1)
    image = 60.0 + 8.0 * rng.standard_normal((size, size), dtype=np.float32)
    radius = 90
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    ball = 3.0 * np.sqrt(np.maximum(1.0 - (x * x + y * y) / radius**2, 0.0))
    for top in range(150, size - 400, 250):
        for left in range(150, size - 400, 250):
            image[top : top + 2 * radius + 1, left : left + 2 * radius + 1] -= ball
    Path("Movies").mkdir()
    rows = []
    for number in range(copies):
        write_mrc(f"Movies/m{number}.mrc", image, 0.885)
        rows.append({"rlnMicrographName": f"Movies/m{number}.mrc", "rlnOpticsGroup": 1, "rlnDefocusU": 12000.0,
                     "rlnDefocusV": 11800.0, "rlnDefocusAngle": 30.0, "rlnCtfMaxResolution": 4.0})
    write_star("mics.star", {"optics": pd.DataFrame([OPTICS]), "micrographs": pd.DataFrame(rows)})
    return rows


def reference(box: int = 64) -> np.ndarray:
    """Return a map of three balls."""
    z, y, x = (np.mgrid[:box, :box, :box] - box // 2) * 3.54
    centres = ((30, 0, 0), (-30, 10, 0), (0, -20, 30))
    parts = [np.hypot(np.hypot(x - cx, y - cy), z - cz) < 40.0 for cx, cy, cz in centres]
    return np.any(parts, 0).astype(np.float32)


def ours(program: Any, rows: list[dict[str, Any]], folder: str, inputs: dict[str, Path], **given: Any,
         ) -> tuple[float, float]:
    """Return CPU seconds per micrograph and of `prepare`; kernels are compiled before."""
    job = job_types()[program.__name__.rpartition(".")[2]]
    options = job.options(**given, device="cpu")
    Path(folder, "Movies").mkdir(parents=True, exist_ok=True)
    program.prepare(options, OPTICS, inputs)
    before = time.process_time()
    state = program.prepare(options, OPTICS, inputs)
    prepared = time.process_time() - before

    def work() -> None:
        for row in rows:
            program.process(row, OPTICS, state, Path(folder) / row["rlnMicrographName"][:-4])

    return cpu_seconds(work) / len(rows), prepared


def cpu_seconds(work: Callable[[], None]) -> float:
    """Return user and system time of `work` in this process."""
    before = time.process_time()
    work()
    return time.process_time() - before


def relion(program: str, *words: str) -> float | None:
    """Return CPU seconds of one of RELION's programs, None where it is not installed.

    Its exit code is shown, not judged: RELION 3.1.3 of Debian picks templates and then aborts in its summary plot.
    """
    if shutil.which(program) is None:
        return None
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = subprocess.run([program, *words], check=False, capture_output=True).returncode
    if code:
        print(f"({program} ended with code {code})")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def report(what: str, mine: tuple[float, float], theirs: float | None, count: int) -> None:
    """Print one line; the ratio is RELION's time over ours."""
    each = None if theirs is None else theirs / count
    beside = "       -       -" if each is None else f"{each:8.2f} {each / mine[0]:6.1f}x"
    print(f"{what:34s} {mine[0]:8.2f} {mine[1]:8.2f} {beside}")


if __name__ == "__main__":
    main()
