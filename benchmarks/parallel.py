#!/usr/bin/env python3
"""Wall time of the same Refine3D iterations with one thread, with two threads, and with two MPI ranks of one thread.

    python benchmarks/parallel.py [--particles 400] [--box 64] [--order 2] [--iterations 2]

Aims on a quiet machine of two cores or more: the second thread makes it 1.8 times faster, two ranks are no slower than
two threads; on a busy one only the CPU seconds tell. Peak memory is that of the largest rank.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DEGREES = ("30 degrees", "15 degrees", "7.5 degrees", "3.7 degrees")
CASES = {"1 thread": (1, 1), "2 threads": (1, 2), "2 ranks": (2, 1)}  # ranks, threads


def measure(threads: int, order: int, iterations: int) -> None:
    """Time iterations in the working directory, on the ranks that this process belongs to; rank 0 prints."""
    from cryosnake.jobs.refine3d import JOB
    from cryosnake.parallel.threads import thread_limit
    from cryosnake.parallel.world import world
    from cryosnake.programs.refine3d.recipe import Refine3D
    from cryosnake.programs.refinement.execution import execution_of
    from cryosnake.programs.refinement.loop import iterate

    options = JOB.options(particle_diameter=180.0, initial_lowpass=15.0, sampling=DEGREES[order])
    with thread_limit(threads), execution_of("particles.star", options, ".") as work:
        recipe = Refine3D(work, options, {"reference": "truth/map.mrc"}, Path("run"))
        model = recipe.lead(recipe.start)
        iterate(recipe, model)  # compiles, and reads the images
        world().meet()
        begin, cpu_begin = time.monotonic(), time.process_time()
        for _ in range(iterations):
            iterate(recipe, model)
        seconds = (time.monotonic() - begin) / iterations
        cpu = sum(world().gather((time.process_time() - cpu_begin) / iterations))
        memory = max(world().gather(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024) or [0.0])
    if world().rank == 0:
        print(f"{seconds:.3f} {cpu:.3f} {memory:.0f}")


def main() -> int:
    """Simulate particles and print the cases beside one another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("particles", 400), ("box", 64), ("order", 2), ("iterations", 2), ("measure", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    if given.measure:
        measure(given.measure, given.order, given.iterations)
        return 0
    from cryosnake.programs.simulate.particles import StackSettings, simulate_particles

    with tempfile.TemporaryDirectory() as folder:
        simulate_particles(Path(folder), StackSettings(count=given.particles, box=given.box,
                                                       pixel_size=3.5 * 64 / given.box, snr=0.05, symmetry="C1",
                                                       residues=1500))
        print(f"Refine3D, {given.particles} particles, box {given.box}, HEALPix order {given.order}; load of the "
              f"machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        alone = 0.0
        for name, (ranks, threads) in CASES.items():
            seconds, cpu, memory = run(folder, ranks, threads, given)
            alone = alone or seconds
            print(f"{name:10}: {seconds:7.2f} s per iteration ({cpu:.2f} s of CPU), {alone / seconds:.2f} times one "
                  f"thread, {memory:.0f} MB", flush=True)
    return 0


def run(folder: str, ranks: int, threads: int, given: argparse.Namespace) -> tuple[float, float, float]:
    """Run a case in processes of its own; return wall and CPU seconds of an iteration, and MB."""
    start = [sys.executable] if ranks == 1 else [sys.executable, "-m", "cryosnake.running.launch", str(ranks)]
    words = [os.path.abspath(__file__), "--measure", str(threads), "--order", str(given.order), "--iterations",
             str(given.iterations)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    environment.pop("NUMBA_NUM_THREADS", None)
    done = subprocess.run([*start, *words], cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    seconds, cpu, memory = map(float, done.stdout.split()[-3:])
    return seconds, cpu, memory


if __name__ == "__main__":
    sys.exit(main())
