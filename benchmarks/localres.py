#!/usr/bin/env python3
"""CPU seconds of local resolution against relion_postprocess --locres on the same half maps, sampling and one thread.

    python benchmarks/localres.py [--box 128] [--pixel_size 1.5] [--residues 2000] [--noise 1.5] [--sampling 25]

Simulates half maps with a rigid and a flexible side. Prints the CPU time of both programs (ours as a whole process
with its imports and picture, and the numerics alone), their ratios, peak memory, the medians inside the mask, and how
near the truth either filtered map is. The second part times the cross-validated local filter on the same halves.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np

from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.numerics.filters import apply_filter
from cryosnake.numerics.fsc import fsc
from cryosnake.numerics.local_resolution.estimate import ScanSettings, local_resolution
from cryosnake.numerics.refine.sums.local_filter import cross_validated_filter
from cryosnake.simulation.half_maps import FlexibleHalves, flexible_halves

B_FACTOR = -50.0
SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "run_localres.py"


def timed_child(words: list[str]) -> tuple[float, float]:
    """Run a program; return its CPU seconds and its peak memory in MB."""
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(child.pid, 0)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024.0


def timed(work: Callable[[], object]) -> float:
    """Return the least CPU seconds of three runs in this process."""
    times = []
    for _ in range(3):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def simulated(given: argparse.Namespace) -> FlexibleHalves:
    """Return the simulated half maps."""
    return flexible_halves(given.box, given.pixel_size, residues=given.residues, noise=given.noise, seed=given.seed)


def write_inputs(given: argparse.Namespace) -> None:
    """Write half maps and mask into the working directory."""
    halves = simulated(given)
    for name, volume in (("run_half1_unfil.mrc", halves.half1), ("run_half2_unfil.mrc", halves.half2),
                         ("mask.mrc", halves.mask)):
        write_mrc(name, volume, given.pixel_size)


def compare_programs(given: argparse.Namespace) -> float:
    """Time both programs, one after the other; return RELION's CPU seconds."""
    Path("theirs").mkdir()
    ours, our_memory = timed_child([sys.executable, str(SCRIPT), "--half_maps", "run_half1_unfil.mrc", "--mask",
                                    "mask.mrc", "--out", "ours", "--b_factor", f"{B_FACTOR:g}", "--sampling",
                                    f"{given.sampling:g}", "--device", "cpu", "--threads", "1"])
    theirs, their_memory = timed_child(["relion_postprocess", "--locres", "--i", "run_half1_unfil.mrc", "--o",
                                        "theirs/relion", "--angpix", f"{given.pixel_size:g}", "--adhoc_bfac",
                                        f"{B_FACTOR:g}", "--locres_sampling", f"{given.sampling:g}"])
    print(f"relion_postprocess --locres: {theirs:.2f} CPU-s, {their_memory:.0f} MB")
    print(f"run_localres.py, whole process: {ours:.2f} CPU-s, {our_memory:.0f} MB, ratio {theirs / ours:.1f}")
    return theirs


def compare_maps(halves: FlexibleHalves, names: list[tuple[str, str]]) -> None:
    """Print medians of the local resolution, and each filtered map's mean FSC to the truth."""
    inside, truth = halves.mask > 0.5, halves.truth * halves.mask
    parts = {"mask": inside, "rigid side": inside & (halves.flexibility < 0.1),
             "flexible side": inside & (halves.flexibility > 0.9)}
    for name, root in names:
        resolution, filtered = read_mrc(f"{root}.mrc")[0], read_mrc(f"{root}_filtered.mrc")[0] * halves.mask
        medians = ", ".join(f"{part} {np.median(resolution[where]):.2f} Å" for part, where in parts.items())
        print(f"    {name}: median in the {medians}; filtered map, mean FSC to the truth "
              f"{fsc(filtered, truth)[1:].mean():.4f}")


def local_filter(halves: FlexibleHalves, pixel_size: float) -> None:
    """Time the cross-validated filter; compare its error with the best single filter's, chosen by the truth."""
    box_size = halves.half1.shape[0] * pixel_size
    inside = halves.mask > 0.5

    def error(*pair: np.ndarray) -> float:
        squared = np.mean([((half - halves.truth)[inside] ** 2).mean() for half in pair])
        return float(np.sqrt(squared) / halves.truth[inside].std())

    maps = halves.half1, halves.half2
    singles = [error(*(apply_filter(half, lambda k, c=cutoff: 1 / (1 + (k * c / box_size) ** 4)) for half in maps))
               for cutoff in np.geomspace(2 * pixel_size, 15.0, 16)]
    first, second, _ = cross_validated_filter(*maps, halves.mask, pixel_size)
    seconds = timed(lambda: cross_validated_filter(*maps, halves.mask, pixel_size))
    print(f"cross_validated_filter: {seconds:.2f} CPU-s; error of a half {error(first, second):.3f} of the density's "
          f"deviation, best single filter {min(singles):.3f}, no filter {error(*maps):.3f}")


def main() -> int:
    """Simulate half maps and run both parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, kind, default in (("box", int, 128), ("pixel_size", float, 1.5), ("residues", int, 2000),
                                ("noise", float, 1.5), ("sampling", float, 25.0), ("seed", int, 1)):
        parser.add_argument(f"--{name}", type=kind, default=default)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        # A child's peak counts what its parent held when it was started: the maps are made elsewhere first.
        writer = multiprocessing.Process(target=write_inputs, args=(given,))
        writer.start()
        writer.join()
        theirs = compare_programs(given)
        halves = simulated(given)
        alone = timed(lambda: local_resolution(halves.half1, halves.half2, given.pixel_size, halves.mask,
                                               ScanSettings(sampling=given.sampling)))
        print(f"local_resolution alone: {alone:.2f} CPU-s, ratio {theirs / alone:.1f}")
        compare_maps(halves, [("ours", "ours/relion_locres"), ("RELION", "theirs/relion_locres")])
    local_filter(halves, given.pixel_size)
    print(f"peak memory of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
