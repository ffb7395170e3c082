"""A disk that becomes full at some moment of a run; with more space the same command must complete the project.

    python tests/workflow/full_disk.py --moments 10 [--movies 3] [--folder F]

The project of random_kills.py runs on a file system in memory (tmpfs, which only root may mount) that has room for a
part of what the run writes. Then it gets more, and the same command must complete the project as if nothing had
happened: nothing lost, made twice, or left over (kill_checks.py).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kill_checks import faults, finished_in
from random_kills import Reference, make_reference
from small_project import command, snakemake

PAGE = 4096  # bytes: tmpfs takes whole pages
SPARE = 1 << 26


def can_mount(place: Path) -> bool:
    """Whether this process may mount a file system."""
    try:
        with small_disk(place, PAGE):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[None]:
    """Mount a file system of so many bytes at a place, until the end of the block."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def pages(project: Path) -> int:
    """Return the bytes that a project takes on such a file system."""
    return sum(-(-path.lstat().st_size // PAGE) * PAGE for path in project.rglob("*") if path.is_file())


def full_at(reference: Reference, place: Path, part: float) -> tuple[str, list[str]]:
    """Run with room for a part (0 to 1) of what a run writes, then with enough; return what it said, what is wrong."""
    start, end = pages(reference.template), pages(reference.finished)
    with small_disk(place, start + int(part * (end - start))):
        project = place / "project"
        shutil.copytree(reference.template, project, symlinks=True)
        first = subprocess.run(command(project), capture_output=True, text=True)
        if first.returncode == 0:
            return "", ["the disk did not become full"]
        said = next((line for line in reversed((first.stdout + first.stderr).splitlines()) if "No space left" in line),
                    "nothing of the space")
        before = [finished_in(project)]
        subprocess.run(["mount", "-o", f"remount,size={end + SPARE}", str(place)], check=True)
        done = subprocess.run(command(project), capture_output=True, text=True)
        if done.returncode:
            return said, [f"the same command ended with {done.returncode}: {done.stderr[-2000:]}"]
        wrong = faults(project, reference.finished, before)
        if not wrong and "Nothing to be done" not in snakemake(project, "--dry-run"):
            wrong.append("something is still to be done")
        return said, wrong


def main() -> int:
    """Let the disk become full at some moments, spread over the run; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=10)
    parser.add_argument("--movies", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    folder = (given.folder or Path(tempfile.mkdtemp(prefix="full_disk"))).resolve()
    reference, wrong = make_reference(folder, given.movies), 0
    for number in range(given.moments):
        part = (number + 0.5) / given.moments
        said, found = full_at(reference, folder / "disk", part)
        outcome = "; ".join(found) or "completed"
        print(f"{time.strftime('%H:%M:%S')} full after {part:.0%}: {outcome}; it said: {said[:200]}", flush=True)
        wrong += bool(found)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
