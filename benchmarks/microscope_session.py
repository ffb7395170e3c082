"""A simulated microscope session under `cryosnake watch`: how long from a complete movie to its particles.

    python benchmarks/microscope_session.py [--movies 120] [--interval 5] [--batch 10] [--seal-after 1] [--cores 2]

Movies are small (384 px, 4 frames; a few distinct ones under many names, for their content does not matter here) and
arrive out of order, one every few seconds: every tenth in two parts, one corrupt, one replaced after it was processed.
Printed: the time from the last byte of a movie to its line in Extract's records (median, 90 %, largest), rounds and
CPU seconds, that no movie was processed twice, and whether the final STAR files are those of one run over the same
movies without a watcher.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from cryosnake.programs.simulate.project import simulate_project

ROOT = Path(__file__).resolve().parent.parent
CONFIG = """
title: simulated session
microscope: {voltage: 300, spherical_aberration: 2.7, amplitude_contrast: 0.1, pixel_size: 3.54, dose_per_frame: 6.0,
             gain: gain.mrc}
batch_size: BATCH
jobs:
  movies:    {type: import, movies: "Movies/*.tiff", settling_time: 1}
  motion:    {type: motioncorr, movies: movies, patches: [1, 1]}
  ctf:       {type: ctffind, micrographs: motion, resmax: 8, box: 256, max_resolution: 100, min_figure_of_merit: -1}
  picks:     {type: autopick, micrographs: ctf, method: log, diameter: [140, 180]}
  particles: {type: extract, micrographs: ctf, coordinates: picks, box_size: 64, rescale: 32}
"""
DISTINCT = 6
TABLES = ("Import/job001/movies.star", "MotionCorr/job002/corrected_micrographs.star",
          "CtfFind/job003/micrographs_ctf.star", "AutoPick/job004/autopick.star", "Extract/job005/particles.star")


def main() -> int:
    """Run the session and print its figures; 1 when a table differs or a movie was processed twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--movies", type=int, default=120)
    parser.add_argument("--interval", type=float, default=5.0, help="seconds between two movies")
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--seal-after", type=float, default=1.0, help="minutes")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="session"))
    source, project = folder / "source", folder / "project"
    simulate_project(source, movies=DISTINCT, size=(384, 384), frames=4, pixel_size=3.54, particles_per_movie=15,
                     dose_per_frame=6.0, box=32, box_pixel_size=7.08, contaminated=0.0)
    (project / "Movies").mkdir(parents=True)
    shutil.copy(source / "gain.mrc", project)
    (project / "config.yaml").write_text(CONFIG.replace("BATCH", str(arguments.batch)))
    before = cpu()
    complete, extracted, rounds = session(arguments, source, project)
    used = cpu() - before
    good = tell(arguments, project, complete, extracted, rounds, used)
    good &= same_tables(arguments, project, folder / "at_once")
    if not arguments.folder:
        shutil.rmtree(folder)
    return int(not good)


def cpu() -> float:
    """Return the CPU seconds of all processes that were started here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def session(arguments: argparse.Namespace, source: Path,
            project: Path) -> tuple[dict[str, float], dict[str, float], str]:
    """Let the movies arrive under a watcher; return when each was complete, and when its particles were there."""
    words = [sys.executable, "-m", "cryosnake.cli", "watch", "--every", "2", "--seal-after", str(arguments.seal_after),
             "--idle-stop", str(2 * arguments.seal_after), "--cores", str(arguments.cores)]
    with open(project / "watch.out", "w") as log:
        watcher = subprocess.Popen(words, cwd=project, stdout=log, stderr=log)
    complete: dict[str, float] = {}
    extracted: dict[str, float] = {}
    feeder = threading.Thread(target=feed, args=(arguments, source, project, complete), daemon=True)
    feeder.start()
    while watcher.poll() is None:
        note_extracted(project, extracted)
        time.sleep(0.5)
    note_extracted(project, extracted)
    return complete, extracted, (project / "watch.out").read_text()


def feed(arguments: argparse.Namespace, source: Path, project: Path, complete: dict[str, float]) -> None:
    """Copy the movies in, out of order: every tenth in two parts, number 7 corrupt, number 3 replaced at half time."""
    takes = sorted((source / "Movies").iterdir())
    order = list(range(arguments.movies))
    random.Random(1).shuffle(order)
    order.sort(key=lambda number: number // 15)  # out of order by up to 15
    for count, number in enumerate(order):
        name = f"movie_{number:04d}.tiff"
        data = bytearray(takes[number % DISTINCT].read_bytes())
        if number == 7:
            data[len(data) // 3 : len(data) // 3 + 2000] = b"\xff" * 2000
        target = project / "Movies" / name
        if number % 10 == 5:
            target.write_bytes(data[: len(data) // 2])
            time.sleep(arguments.interval)
            with open(target, "ab") as file:
                file.write(data[len(data) // 2 :])
        else:
            target.write_bytes(data)
            time.sleep(arguments.interval)
        complete[Path(name).stem] = target.stat().st_mtime
        if count == len(order) // 2:
            shutil.copyfile(takes[4], project / "Movies/movie_0003.tiff")


def note_extracted(project: Path, extracted: dict[str, float]) -> None:
    """Note the time at which each micrograph's line stands in Extract's records."""
    for file in project.glob("Extract/job005/batches/*.done"):
        for line in file.read_text().splitlines():
            extracted.setdefault(Path(line.split("\t")[0]).stem, time.time())


def tell(arguments: argparse.Namespace, project: Path, complete: dict[str, float], extracted: dict[str, float],
         rounds: str, used: float) -> bool:
    """Print the figures; return whether every good movie was processed, and once (the replaced one twice)."""
    latencies = sorted(extracted[name] - complete[name] for name in extracted if name in complete)
    names = [line.split("\t")[0] for file in project.glob("MotionCorr/job002/batches/*.done")
             for line in file.read_text().splitlines()]
    twice = sorted(Path(name).stem for name, count in Counter(names).items() if count > 1)
    print(f"{arguments.movies} movies, one every {arguments.interval:g} s, batches of {arguments.batch} (sealed after "
          f"{arguments.seal_after:g} min), {arguments.cores} cores, load {os.getloadavg()[1]:.1f}")
    print(f"from complete file to particles: median {statistics.median(latencies):.0f} s, 90 % within "
          f"{latencies[int(0.9 * (len(latencies) - 1))]:.0f} s, all within {latencies[-1]:.0f} s")
    print(f"{rounds.count('running:')} calls of Snakemake, {used:.0f} CPU s in all, {used / len(complete):.1f} per "
          "movie")
    print(f"{len(extracted)} of {arguments.movies} movies to particles (one is corrupt); processed twice: "
          f"{', '.join(twice) or 'none'} (movie_0003 was replaced)")
    return len(extracted) == arguments.movies - 1 and set(twice) <= {"movie_0003"}


def same_tables(arguments: argparse.Namespace, project: Path, other: Path) -> bool:
    """Process the same movies at once, and compare the rows of the final STAR files."""
    other.mkdir()
    shutil.copytree(project / "Movies", other / "Movies")
    for name in ("gain.mrc", "config.yaml"):
        shutil.copy(project / name, other)
    words = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(other),
             "--cores", str(arguments.cores), "--config", "batch_size=1000"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    same = [sorted((project / name).read_text().splitlines()) == sorted((other / name).read_text().splitlines())
            for name in TABLES]
    print(f"final STAR files equal to those of one run over the same movies: {sum(same)} of {len(same)}")
    return all(same)


if __name__ == "__main__":
    sys.exit(main())
