"""What reading and writing of STAR tables and MRC files costs, beside starfile and mrcfile.

Prints CPU seconds and peak memory beyond what the process held before; each task has a process of its own, with
one thread. A table has 16 columns, two of them text; starfile is told which, for it makes numbers of names otherwise.

    python benchmarks/formats.py --rows 1000000
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pandas as pd
import starfile

from cryosnake.io.mrc import read_images, read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star

TEXT = ["rlnImageName", "rlnMicrographName"]
REAL = ("CoordinateX CoordinateY DefocusU DefocusV DefocusAngle AngleRot AngleTilt AnglePsi OriginXAngst OriginYAngst "
        "LogLikeliContribution").split()
FILES = {"image": ("a.mrc", (4096, 4096)), "stack": ("a.mrcs", (200, 256, 256))}
TASKS = ["table read", "table write", "image read", "image write", "stack read", "stack write", "20 of stack read"]


def particles(rows: int) -> pd.DataFrame:
    """Return a table as Extract and Refine3D make it."""
    rng, stacks = np.random.default_rng(0), [f"Movies/mic_{i // 500:05d}" for i in range(rows)]
    names = {TEXT[0]: [f"{i % 500 + 1:06d}@Extract/job005/{stack}.mrcs" for i, stack in enumerate(stacks)],
             TEXT[1]: [f"MotionCorr/job002/{stack}.mrc" for stack in stacks]}
    whole = {f"rln{label}": rng.integers(1, 50, rows) for label in ("OpticsGroup", "ClassNumber", "RandomSubset")}
    return pd.DataFrame(names | whole | {f"rln{label}": rng.normal(0, 1000, rows) for label in REAL})


def prepare(rows: int) -> None:
    """Write what the tasks read, into the working directory."""
    particles(rows).to_pickle("table.pickle")
    write_star("a.star", {"particles": pd.read_pickle("table.pickle")})
    for name, shape in FILES.values():
        write_mrc(name, np.random.default_rng(0).normal(size=shape).astype(np.float32), 1.0, stack=len(shape) == 3)


def work(task: str, ours: bool) -> Any:
    """Return what does a task, given what it starts from."""
    what, how = task.rsplit(" ", 1)
    if what == "table":
        if how == "read":
            return (lambda: read_star("a.star")) if ours else lambda: starfile.read("a.star", parse_as_string=TEXT)
        table = {"particles": pd.read_pickle("table.pickle")}
        return ((lambda: write_star("b.star", table)) if ours
                else lambda: starfile.write(table, "b.star", overwrite=True))
    if what == "20 of stack":
        chosen = np.random.default_rng(1).permutation(200)[:20]
        names = [f"{number + 1}@a.mrcs" for number in chosen]
        return (lambda: read_images(names)) if ours else lambda: np.array(mrcfile.mmap("a.mrcs").data[chosen])
    name, shape = FILES[what]
    if how == "read":
        return (lambda: read_mrc(name)) if ours else lambda: mrcfile.read(name)
    data = read_mrc(name)[0]
    return ((lambda: write_mrc(f"b{name}", data, 1.0, stack=len(shape) == 3)) if ours
            else lambda: mrcfile.write(f"b{name}", data, voxel_size=1.0, overwrite=True))


def measured(task: str, ours: bool) -> tuple[float, float]:
    """Return CPU seconds and MB of one task in this process."""
    call, repeats = work(task, ours), 1 if task.startswith("table") else 10
    seconds, memory = time.process_time(), peak()
    for _ in range(repeats):
        call()
    return (time.process_time() - seconds) / repeats, peak() - memory


def peak() -> float:
    """Return the most MB that this process has held; `getrusage` would count what its parent held."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Print a line per task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(options.one[0], options.one[1] == "ours")))
        return
    program = os.path.abspath(__file__)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        prepare(options.rows)
        print(f"{'':18}  CPU s: ours    library      MB: ours  library")
        for task in TASKS:
            (seconds, memory), (other_seconds, other_memory) = (
                json.loads(subprocess.check_output([sys.executable, "-W", "ignore", program, "--one", task, whose],
                                                   env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}))
                for whose in ("ours", "library"))
            print(f"{task:18} {seconds:12.4f} {other_seconds:10.4f} {memory:13.0f} {other_memory:8.0f}", flush=True)
        os.chdir(Path(program).parent)


if __name__ == "__main__":
    main()
