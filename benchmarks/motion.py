"""CPU seconds of motion correction beside RELION's own program, on the same movies in the same run.

    python benchmarks/motion.py [--size 4096] [--frames 24] [--pairs 3] [--patches 5]

Both read the same TIFF movie and gain, align whole frames and patches, write the dose-weighted sum and the power
spectrum, on one thread. Runs alternate (ours, RELION's, ours, …), so that a busy machine slows both; the median ratio
of CPU times (user and system, of the whole process) is printed last. Start-up and compiled kernels from the cache
are in both. Peak memory is that of the process.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import scipy.fft

from cryosnake.io.movies import write_movie_tiff
from cryosnake.io.mrc import write_mrc
from cryosnake.io.star import write_star

PIXEL, DOSE, VOLTAGE = 1.0, 1.2, 300.0
OPTICS = {"rlnOpticsGroupName": "opticsGroup1", "rlnOpticsGroup": 1, "rlnMicrographOriginalPixelSize": PIXEL,
          "rlnVoltage": VOLTAGE, "rlnSphericalAberration": 2.7, "rlnAmplitudeContrast": 0.1}

OURS = """
import sys
from pathlib import Path
import numba, scipy.fft
numba.set_num_threads(1)
from cryosnake.jobs.motioncorr import JOB
from cryosnake.programs.micrographs import motioncorr
options = JOB.options(dose_per_frame=float(sys.argv[1]), gain="gain.mrc", device="cpu",
                      patches=[int(sys.argv[2])] * 2)
optics = {"rlnVoltage": 300.0, "rlnMicrographOriginalPixelSize": 1.0}
state = motioncorr.prepare(options, optics, {})
motioncorr.process({"rlnMicrographMovieName": "movie.tiff", "rlnOpticsGroup": 1}, optics, state, Path("ours/movie"))
"""


def main() -> None:
    """Make a movie, run both programs in turn, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=4096, help="pixels")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--patches", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=3)
    chosen = parser.parse_args()
    relion = shutil.which("relion_run_motioncorr")
    if relion is None:
        sys.exit("relion_run_motioncorr is not on the PATH")
    with tempfile.TemporaryDirectory() as folder:
        make_movie(Path(folder), chosen.size, chosen.frames)
        ours = [sys.executable, "-c", OURS, str(DOSE), str(chosen.patches)]
        theirs = [relion, "--i", "movies.star", "--o", "theirs/", "--use_own", "--j", "1", "--gainref", "gain.mrc",
                  "--patch_x", str(chosen.patches), "--patch_y", str(chosen.patches), "--bfactor", "150",
                  "--dose_per_frame", str(DOSE), "--dose_weighting", "--grouping_for_ps", "3"]
        run(ours, folder)  # compiles the kernels where no cache has them
        ratios = []
        for pair in range(chosen.pairs):
            (a, a_memory), (b, b_memory) = run(ours, folder), run(theirs, folder)
            ratios.append(a / b)
            print(f"pair {pair + 1}: ours {a:.2f} CPU-s, {a_memory:.0f} MB; RELION {b:.2f} CPU-s, {b_memory:.0f} MB; "
                  f"ratio {a / b:.2f}", flush=True)
        print(f"{chosen.frames} frames of {chosen.size}², {chosen.patches} x {chosen.patches} patches: "
              f"median ratio of CPU seconds, ours / RELION's: {statistics.median(ratios):.2f}")


def make_movie(folder: Path, size: int, frames: int) -> None:
    """Write movie.tiff, gain.mrc and movies.star: a random specimen that drifts, counted electron by electron."""
    rng = np.random.default_rng(1)
    ky, kx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    specimen = scipy.fft.rfft2(rng.normal(size=(size, size)).astype(np.float32)) * np.exp(-30 * (kx**2 + ky**2))
    specimen *= 0.1 / scipy.fft.irfft2(specimen, s=(size, size)).std()
    stack = np.empty((frames, size, size), dtype=np.uint8)
    for f in range(frames):
        moved = specimen * np.exp(-2j * np.pi * 8 * (1 - np.exp(-4 * f / frames)) * (kx - 0.5 * ky))
        image = scipy.fft.irfft2(moved.astype(np.complex64), s=(size, size))
        stack[f] = np.minimum(rng.poisson(DOSE * PIXEL**2 * np.maximum(1 + image, 0)), 255)
    write_movie_tiff(folder / "movie.tiff", stack)
    write_mrc(folder / "gain.mrc", rng.normal(1, 0.03, (size, size)).astype(np.float32), PIXEL)
    import pandas as pd

    write_star(folder / "movies.star", {"optics": pd.DataFrame([OPTICS]), "movies": pd.DataFrame(
        [{"rlnMicrographMovieName": "movie.tiff", "rlnOpticsGroup": 1}])})


def run(command: list[str], folder: str) -> tuple[float, float]:
    """Run a command on one thread; return its CPU seconds and its peak memory in MB."""
    threads = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with open(os.path.join(folder, "log"), "w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT,
                                   env={**os.environ, **threads})
        _, status, used = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command[0]} failed:\n{Path(folder, 'log').read_text()[-2000:]}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


if __name__ == "__main__":
    main()
