"""`kill -9` at random moments of a small project; the same command must complete it each time, and do nothing twice.

    python tests/workflow/random_kills.py --kills 100 [--seed 1] [--folder F] [--only SEED]

Each seed is a chain of kills in one project (movies to particles and a classification, run by Snakemake or under
`cryosnake watch`, the classification on two MPI ranks in some; new, or finished before more movies came, so that the
classification is made under a new number beside the finished one), or one kill of a clean-up command in a finished
project. Victims: Snakemake (driver), all at once (group), a job's program (worker), the shell that Snakemake starts for
a job (shell), the watcher, and clean-up commands. `--only SEED` repeats one chain. What is checked stands in
kill_checks.py and clean_up_kills.py. The test suite runs a few.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from clean_up_kills import kill_clean_up
from kill_checks import Snapshot, faults, finished_in, work_done
from kill_victims import end_all, kill_in
from small_project import CONFIG, command, simulate, snakemake

CLASSES = ("  classes:   {type: class2d, particles: particles, method: em, classes: 2, iterations: 10, psi_step: 15, "
           "offset_range: 3, particle_diameter: 150RANKS}\n")
DISTINCT = 3  # movies: simulating one takes longer than all jobs
LATER = 2  # movies that come when the project is finished
PATIENCE = 1800.0  # seconds after which a run counts as blocked
LOOK_EVERY = 0.2  # seconds


@dataclass(frozen=True)
class Reference:
    """The project before its first run, after a run without kills, and how much work and time that took."""

    template: Path
    finished: Path
    work: int
    seconds: float


@dataclass
class Outcome:
    """What happened in one chain: (victim, what it was doing) of each kill, what is wrong, seconds beyond one run."""

    kills: list[tuple[str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    extra: float = 0.0


def config(ranks: int) -> str:
    """Return the project's config: batches of three, and quick fits of the CTF."""
    quick = CONFIG.replace("batch_size: 4", "batch_size: 3").replace("box: 256", "box: 128")
    return quick + CLASSES.replace("RANKS", f", mpi_ranks: {ranks}" if ranks > 1 else "")


def make_reference(folder: Path, movies: int) -> Reference:
    """Simulate the movies, and run the project once without killing anything, if an earlier call has not done it."""
    template = folder / "template"
    if not template.exists():
        simulated = folder / "simulated"
        simulate(simulated, min(movies, DISTINCT))
        shutil.rmtree(simulated / "truth")
        add_movies(simulated, movies - DISTINCT)
        (simulated / "config.yaml").write_text(config(ranks=1))
        simulated.rename(template)
    return _finished(template, folder / "finished")


def make_grown(reference: Reference) -> Reference:
    """Let more movies come to the finished project, and run it once without killing anything."""
    template = reference.finished.with_name("growing")
    if not template.exists():
        shutil.copytree(reference.finished, template, symlinks=True)
        add_movies(template, LATER)
    return _finished(template, template.with_name("grown"))


def add_movies(project: Path, number: int) -> None:
    """Add copies of the first movies, under other names."""
    takes = sorted((project / "Movies").iterdir())
    for index in range(number):
        shutil.copy(takes[index % DISTINCT], project / "Movies" / f"more_{len(takes) + index:04d}.tiff")


def _finished(template: Path, finished: Path) -> Reference:
    noted = finished.with_name(f"{finished.name}_seconds")
    if not noted.exists():
        shutil.rmtree(finished, ignore_errors=True)
        shutil.copytree(template, finished, symlinks=True)
        start = time.monotonic()
        snakemake(finished)
        noted.write_text(f"{time.monotonic() - start:.1f}")
    return Reference(template, finished, work_done(finished), float(noted.read_text()))


def kill_chain(reference: Reference, project: Path, seed: int, most: int = 8) -> Outcome:
    """Kill up to `most` times in one project, complete it, and check it."""
    draw = random.Random(seed)
    watched, ranks = draw.random() < 0.3, 2 if draw.random() < 0.25 and shutil.which("mpirun") else 1
    victims = ("watcher", "watcher", "driver", "group", "worker") if watched else ("driver", "group", "worker", "shell")
    shutil.copytree(reference.template, project, symlinks=True)
    (project / "config.yaml").write_text(config(ranks))
    words = watch_command() if watched else command(project)
    outcome, before = Outcome(), list[Snapshot]()
    start = time.monotonic()
    try:
        while len(outcome.kills) < most:
            process = begin(project, words)
            victim = draw.choice(victims)
            doing = strike(project, process, victim, draw, reference)
            if doing is None:
                break  # it was complete before
            outcome.kills.append((f"{victim}{' (watched)' if watched else ''}", doing))
            before.append(finished_in(project))
            process.wait(PATIENCE)  # Snakemake ends after a killed job, a watcher goes on
            before.append(finished_in(project))
        code = begin(project, words).wait(PATIENCE)
        outcome.extra = time.monotonic() - start - reference.seconds
        if code:
            outcome.wrong.append(f"the same command ended with {code}")
        outcome.wrong += faults(project, reference.finished, before)
        if not outcome.wrong and "Nothing to be done" not in snakemake(project, "--dry-run"):
            outcome.wrong.append("something is still to be done")
    except subprocess.TimeoutExpired:
        outcome.wrong.append(f"blocked: a run did not end in {PATIENCE:g} s")
    finally:
        end_all(project)
    return outcome


def begin(project: Path, words: list[str]) -> subprocess.Popen[bytes]:
    """Start the command that is to complete the project."""
    with open(project.with_name(f"{project.name}.log"), "a") as log:
        log.write(f"\n===== {time.strftime('%H:%M:%S')}\n")
        log.flush()
        return subprocess.Popen(words, cwd=project, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                start_new_session=True)


def watch_command() -> list[str]:
    """Return the command line of a watcher that ends soon after all is done."""
    return [sys.executable, "-m", "cryosnake.cli", "watch", "--every", "0.5", "--seal-after", "0.01", "--idle-stop",
            "0.1", "--keep-free", "0.01", "--cores", "2"]


def strike(project: Path, process: subprocess.Popen[bytes], victim: str, draw: random.Random,
           reference: Reference) -> str | None:
    """Kill the victim at a random moment; return what the project was doing, None when it was complete before.

    A third of the moments fall on the first fifth of a run's time, where it plans and prepares; the others are spread
    over the work that is left.
    """
    start, present = time.monotonic(), work_done(project)
    early = draw.random() < 0.33
    seconds = draw.uniform(0, 0.2 * reference.seconds)
    amount, choice = present + 0.6 * draw.random() * (reference.work - present), draw.random()
    fine = draw.uniform(0, 1)  # seconds after the last record
    while process.poll() is None and time.monotonic() - start < PATIENCE:
        due = time.monotonic() - start >= seconds if early else work_done(project) >= amount
        if due:
            if not early and fine:
                time.sleep(fine)
                fine = 0.0
            doing = kill_in(project, victim, choice)
            if doing is not None:
                return ", ".join(doing) or ("before the first job" if not work_done(project) else "between jobs")
        time.sleep(LOOK_EVERY)
    return None


def run_seed(reference: Reference, folder: Path, seed: int, most: int = 8) -> Outcome:
    """Do what a seed stands for, in `folder/SEED`, which is removed when nothing is wrong."""
    project, kind = folder / f"seed{seed}", random.Random(f"kind of {seed}").random()
    if kind < 0.3:
        told, wrong = kill_clean_up(reference.finished, project, seed)
        outcome = Outcome([("clean-up", told)], wrong)
    else:
        outcome = kill_chain(make_grown(reference) if kind < 0.7 else reference, project, seed, most)
    if not outcome.wrong:
        shutil.rmtree(project)
    return outcome


def main() -> int:
    """Kill so often, and print figures; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--movies", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--only", type=int, help="this seed alone")
    parser.add_argument("--at-once", type=int, default=1, help="projects side by side")
    parser.add_argument("--folder", type=Path, help="where to work; what failed is kept there")
    given = parser.parse_args()
    folder = (given.folder or Path(tempfile.mkdtemp(prefix="kills"))).resolve()
    reference = make_reference(folder, given.movies)
    make_grown(reference)
    print(f"a run without kills: {reference.seconds:.0f} s", flush=True)
    if given.only is not None:
        outcomes = [run_seed(reference, folder, given.only)]
        tell(given.only, outcomes[0])
    else:
        outcomes = run_seeds(reference, folder, given.seed, given.kills, given.at_once)
    summary(outcomes)
    return int(any(outcome.wrong for outcome in outcomes))


def run_seeds(reference: Reference, folder: Path, first: int, kills: int, at_once: int) -> list[Outcome]:
    """Go through the seeds from `first` on until there were so many kills."""
    outcomes: list[Outcome] = []
    seeds = count(first)
    with ProcessPoolExecutor(at_once) as pool:
        going: dict[Future[Outcome], int] = {}
        while True:
            while sum(len(outcome.kills) for outcome in outcomes) < kills and len(going) < at_once:
                seed = next(seeds)
                going[pool.submit(run_seed, reference, folder, seed)] = seed
            if not going:
                return outcomes
            for ended in wait(going, return_when=FIRST_COMPLETED).done:
                outcomes.append(ended.result())
                tell(going.pop(ended), outcomes[-1])


def tell(seed: int, outcome: Outcome) -> None:
    """Print what happened in one chain."""
    print(f"{time.strftime('%H:%M:%S')} seed {seed}: {'WRONG' if outcome.wrong else 'good'}; "
          + "; ".join(f"{victim}: {doing}" for victim, doing in outcome.kills), flush=True)
    for line in outcome.wrong[:20]:
        print(f"    {line}", flush=True)


def summary(outcomes: list[Outcome]) -> None:
    """Print the figures."""
    kills = [kill for outcome in outcomes for kill in outcome.kills]
    wrong = [line.partition(":")[0] for outcome in outcomes for line in outcome.wrong]
    extra = [outcome.extra / len(outcome.kills) for outcome in outcomes if outcome.extra and outcome.kills]
    print(f"{len(kills)} kills in {len(outcomes)} projects; completed as if nothing had been killed: "
          f"{sum(not outcome.wrong for outcome in outcomes)}")
    print("victims:", ", ".join(f"{name} {count}" for name, count in Counter(v for v, _ in kills).most_common()))
    phases = Counter(part for victim, doing in kills if victim != "clean-up" for part in doing.split(", "))
    print("while at work:", ", ".join(f"{name} {count}" for name, count in phases.most_common()))
    print("wrong:", ", ".join(f"{name} {count}" for name, count in Counter(wrong).items()) or "nothing")
    if extra:
        print(f"extra seconds of a kill: median {statistics.median(extra):.0f}")


if __name__ == "__main__":
    sys.exit(main())
