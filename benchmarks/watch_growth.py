"""A session under `cryosnake watch` in which Class2D and Refine3D grow three times, and the watcher is killed once.

    python benchmarks/watch_growth.py [--movies 60] [--folder F]

Small movies (384 px, 4 frames; a few distinct ones under many names) arrive in four parts: each doubles what is there
(watched with `--grow 1.8`), and the last is taken when the session ends. While the second part is refined the watcher
is killed (`kill -9`) and started again. Printed, and checked: the number, particles and alias of each job, that
finished results stayed as they were to the byte, what superseded jobs take on the disk, and what RELION 3.1 makes of
the project. 1 when anything is wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

from cryosnake.human import human_size
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.markers import exit_of
from cryosnake.pipeline.model import Status, job_number
from cryosnake.programs.simulate.project import simulate_project
from cryosnake.project.records.file_sizes import folder_size
from cryosnake.project.records.record import read_record

ROOT = Path(__file__).resolve().parent.parent
DISTINCT, PARTS = 6, 4
CONFIG = """
title: growing session
microscope: {voltage: 300, spherical_aberration: 2.7, amplitude_contrast: 0.1, pixel_size: 3.54, dose_per_frame: 6.0,
             gain: gain.mrc}
batch_size: 8
jobs:
  movies:    {type: import, movies: "Movies/*.tiff", settling_time: 1}
  motion:    {type: motioncorr, movies: movies, patches: [1, 1]}
  ctf:       {type: ctffind, micrographs: motion, resmax: 8, box: 256, max_resolution: 100, min_figure_of_merit: -1}
  picks:     {type: autopick, micrographs: ctf, method: log, diameter: [140, 180]}
  particles: {type: extract, micrographs: ctf, coordinates: picks, box_size: 64, rescale: 32}
  classes:   {type: class2d, particles: particles, classes: 4, iterations: 5, psi_step: 15, particle_diameter: 190}
  good:      {type: select, particles: classes, minimal_class_size: 1}
  refine:    {type: refine3d, particles: good, reference: reference.mrc, symmetry: D2, initial_lowpass: 40,
              particle_diameter: 190, max_iterations: 4}
"""
WHOLE = {"classes": ("Class2D", "run_it005_data.star"), "good": ("Select", "particles.star"),
         "refine": ("Refine3D", "run_class001.mrc")}
PATIENCE = 1800.0  # seconds


def main() -> int:
    """Run the session and print its figures; 1 when something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--movies", type=int, default=60)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    arguments = parser.parse_args()
    folder = (arguments.folder or Path(tempfile.mkdtemp(prefix="watch_growth"))).resolve()
    project = folder / "project"
    simulate_project(folder / "source", movies=min(DISTINCT, arguments.movies), size=(384, 384), frames=4,
                     pixel_size=3.54, particles_per_movie=15, dose_per_frame=6.0, box=32, box_pixel_size=7.08,
                     contaminated=0.0)
    (project / "Movies").mkdir(parents=True)
    for name in ("gain.mrc", "reference.mrc"):
        shutil.copy(folder / "source" / name, project)
    (project / "config.yaml").write_text(CONFIG)
    start = time.monotonic()
    with chdir(project):
        wrong = session(folder / "source" / "Movies", arguments.movies) + tell() + seen_by_relion()
    print(f"{(time.monotonic() - start) / 60:.0f} min, load {os.getloadavg()[1]:.1f}")
    print("wrong:", *wrong or ["nothing"], sep="\n  " if wrong else " ")
    if not arguments.folder and not wrong:
        shutil.rmtree(folder)
    return int(bool(wrong))


def session(source: Path, movies: int) -> list[str]:
    """Let the movies arrive in parts under a watcher; return what finished results were not left as they were."""
    ends = [movies >> (PARTS - 1 - part) for part in range(PARTS - 1)] + [movies]
    watcher, known, present = watch(), dict[str, str](), 0
    for part, end in enumerate(ends, start=1):
        feed(source, present, end)
        present = end
        if part == PARTS:
            break  # less than twice as many: they are taken at the end of the session
        if part == 2:
            wait_for(lambda: len(list(Path().glob("Refine3D/job*"))) == 2, "the second refinement to begin")
            kill(watcher)
            watcher = watch()
        wait_for(lambda: len(finished("refine")) == part, f"refinement {part}")  # noqa: B023
        print(f"part {part}: {present} movies; {', '.join(jobs()[-3:])}", flush=True)
        known |= digests()
    Path("STOP_WATCH").touch()
    watcher.wait(PATIENCE)
    now = known | digests()
    return [f"{file} was changed" for file in known if sha(file) != known[file]] + (
        [] if len(finished("refine")) == PARTS else [f"{len(finished('refine'))} refinements, not {PARTS}"]) + (
        [] if len(now) == 3 * PARTS else [f"{len(now)} results, not {3 * PARTS}"])


def watch() -> subprocess.Popen[bytes]:
    """Start the watcher."""
    words = [sys.executable, "-m", "cryosnake.cli", "watch", "--every", "2", "--seal-after", "0.1", "--grow", "1.8",
             "--keep-free", "0.01", "--cores", "2"]
    with open("watch.out", "ab") as log:
        return subprocess.Popen(words, stdout=log, stderr=log)


def kill(watcher: subprocess.Popen[bytes]) -> None:
    """Kill the watcher; what it has started goes on."""
    time.sleep(3)
    os.kill(watcher.pid, signal.SIGKILL)
    watcher.wait()
    print(f"killed while {', '.join(jobs()[-1:])} was made", flush=True)


def feed(source: Path, first: int, end: int) -> None:
    """Copy movies in, as whole files."""
    takes = sorted(source.iterdir())
    for number in range(first, end):
        shutil.copy(takes[number % len(takes)], f"Movies/.movie_{number:04d}.tiff")
        os.rename(f"Movies/.movie_{number:04d}.tiff", f"Movies/movie_{number:04d}.tiff")


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until something is true."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > PATIENCE:
            sys.exit(f"waited {PATIENCE:.0f} s for {what}; {Path.cwd()}/watch_status.txt says what the watcher did")
        time.sleep(0.5)


def jobs(name: str = "") -> list[str]:
    """Return the jobs of all particles, or those of one name in the config, in the order of their numbers."""
    found = [str(path) for each in ([name] if name else WHOLE) for path in Path(WHOLE[each][0]).glob("job*")]
    return sorted(found, key=lambda path: job_number(path) or 0)


def finished(name: str) -> list[str]:
    """Return the jobs of a name that have succeeded."""
    return [path for path in jobs(name) if exit_of(path) == Status.SUCCEEDED]


def digests() -> dict[str, str]:
    """Return the digests of the results of finished jobs."""
    files = [f"{path}/{WHOLE[name][1]}" for name in WHOLE for path in finished(name)]
    return {file: sha(file) for file in files}


def sha(file: str) -> str:
    """Return the digest of a file, "" if it does not exist."""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if os.path.exists(file) else ""


def tell() -> list[str]:
    """Print the jobs, what they were made from, aliases and disk use; return what is wrong."""
    pipeline, wrong = read_pipeline("default_pipeline.star"), []
    for name, (folder, _) in WHOLE.items():
        for path in jobs(name):
            record, alias = read_record(Path(path)), pipeline.processes[f"{path}/"].alias
            rows = record.made_from["particles"].rows if record else 0
            iterations = len(list(Path(path).glob("run_it*_optimiser.star")))
            print(f"{path:16} {name:8} {rows:5} particles {alias or '-':18} {human_size(folder_size(path)):>8}, "
                  f"{iterations} iterations")
        if os.readlink(f"{folder}/{name}").rstrip("/") != f"../{jobs(name)[-1]}":
            wrong.append(f"{folder}/{name} leads to {os.readlink(f'{folder}/{name}')}, not to {jobs(name)[-1]}")
    numbers = sorted(job_number(name) or 0 for name in pipeline.processes)
    if numbers != list(range(1, pipeline.counter)):
        wrong.append(f"numbers {numbers}, and the next is {pipeline.counter}")
    print(f"in the Trash {human_size(folder_size('Trash'))}, in the project {human_size(folder_size('.'))}")
    again = subprocess.run([sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2",
                            "-n"], capture_output=True, text=True)
    return wrong + ([] if "Nothing to be done" in again.stdout + again.stderr else ["something is still to be done"])


def seen_by_relion() -> list[str]:
    """Let RELION 3.1 check the project; return what it changes or refuses."""
    if shutil.which("relion_pipeliner") is None:
        print("RELION is not installed")
        return []
    before = read_pipeline("default_pipeline.star")
    done = subprocess.run(["relion_pipeliner", "--check_job_completion"], capture_output=True, text=True, timeout=300)
    after = read_pipeline("default_pipeline.star")
    said = subprocess.run(["relion_image_handler", "--i", f"{finished('refine')[0]}/run_class001.mrc", "--stats"],
                          capture_output=True, text=True, timeout=300)
    print(f"RELION: {len(after.processes)} jobs, {len(after.nodes)} nodes; the first map: {said.stdout.strip()}")
    same = {p.name: (p.status, p.alias) for p in before.processes.values()} == {
        p.name: (p.status, p.alias) for p in after.processes.values()} and before.nodes.keys() == after.nodes.keys()
    good = same and done.returncode == said.returncode == 0
    return [] if good else [f"RELION: {done.stdout}{done.stderr}{said.stderr}"]


if __name__ == "__main__":
    sys.exit(main())
