"""Refine3D in a control group with a limit of memory: what it announces, and its peak, at several boxes.

    python benchmarks/memory_limits.py [--boxes 128 192 256] [--particles 30]

The job is not told a `memory`: it finds the limit by itself. Peaks are the largest resident set of the process, and
what the kernel charged to the group, file cache included. Where no control group can be made (no root, no container
that allows it), the limit is given as the option `memory`, and that is said. 1 when a peak is above what was announced,
or a job was killed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from cryosnake.programs.simulate.particles import StackSettings, simulate_particles

ROOT = Path(__file__).resolve().parent.parent
GROUPS = Path("/sys/fs/cgroup")
WITH_PEAK = """
import re, runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print("peak", 1024 * int(re.search("VmHWM:(.*)kB", open("/proc/self/status").read())[1]) / 1e9)
"""


@dataclass(frozen=True)
class Group:
    """A control group: its folder, and the names of the files with its limit, its peak, and what was refused."""

    folder: Path
    limit: str
    peak: str


def main() -> int:
    """Refine at each box and print a line; 1 when something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boxes", type=int, nargs="+", default=[128, 192, 256])
    parser.add_argument("--particles", type=int, default=30)
    given = parser.parse_args()
    wrong = 0
    print("| box | limit, GB | may use | announced | resident peak | charged to the group | minutes |")
    print("|---" * 7 + "|", flush=True)
    for box in given.boxes:
        with tempfile.TemporaryDirectory(prefix="memory") as folder:
            simulate_particles(folder, StackSettings(count=given.particles, box=box, pixel_size=320 / box, snr=0.2,
                                                     symmetry="D2", residues=300, seed=5))
            wrong += not refined(Path(folder), box)
    return int(wrong > 0)


def limit_of(box: int) -> float:
    """Return the GB with which a box can just be refined: the interpreter and kernels, and half maps that grow with it.

    A job takes four fifths of what is free when it starts.
    """
    return 1.3 + 5.7 * (box / 256) ** 3


def refined(folder: Path, box: int) -> bool:
    """Refine the particles of a folder under a limit, print a line, and return whether it was kept."""
    limit, group, start = limit_of(box), new_group(), time.monotonic()
    words = [sys.executable, "-c", WITH_PEAK, str(ROOT / "scripts" / "run_refine3d.py"), "--out", "Refine3D/job001",
             "--particles", "particles.star", "--reference", "truth/map.mrc", "--particle_diameter", "150",
             "--initial_lowpass", "40", "--max_iterations", "2", "--symmetry", "D2", "--pictures", "false"]
    if group:
        (group.folder / group.limit).write_text(str(int(limit * 1e9)))
        words = ["sh", "-c", f'echo $$ > {group.folder}/cgroup.procs; exec "$@"', "sh", *words]
    else:
        words += ["--memory", f"{0.8 * limit:.1f}"]
    (folder / "Refine3D/job001").mkdir(parents=True)
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    said = done.stdout + done.stderr
    found = re.search(r"Memory: at most ([\d.]+) of ([\d.]+) GB", said)
    peak = re.search(r"^peak (.*)", said, re.M)
    charged = f"{int((group.folder / group.peak).read_text()) / 1e9:.2f}" if group else "no control group here"
    if group:
        group.folder.rmdir()
    if done.returncode or not found or not peak:
        print(f"| {box} | {limit:.1f} | exit code {done.returncode}: {said[-500:]}")
        return False
    announced, allowed = map(float, found.groups())
    print(f"| {box} | {limit:.1f} | {allowed:.1f} | {announced:.1f} | {float(peak[1]):.2f} | {charged} | "
          f"{(time.monotonic() - start) / 60:.1f} |", flush=True)
    return float(peak[1]) <= announced <= allowed


def new_group() -> Group | None:
    """Make a control group below that of this process, of either version; None where that is not possible."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        names = ("memory.limit_in_bytes", "memory.max_usage_in_bytes") if controllers else ("memory.max", "memory.peak")
        folder = GROUPS / ("memory" if controllers else "") / path.lstrip("/") / f"limit_{time.time_ns()}"
        if controllers not in ("memory", ""):
            continue
        try:
            folder.mkdir()
            if (folder / names[0]).exists():
                return Group(folder, *names)
            folder.rmdir()
        except OSError:
            continue
    return None


if __name__ == "__main__":
    sys.exit(main())
