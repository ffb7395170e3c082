"""What must be true of a project in which something was killed, once the same command has completed it."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import numpy as np

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_mrc
from cryosnake.jobs.registry import by_folder
from cryosnake.pipeline.files import read_pipeline
from cryosnake.pipeline.model import Status
from cryosnake.project.records.batches import product_files

TABLES = ("Import/job001/movies.star", "MotionCorr/job002/corrected_micrographs.star",
          "CtfFind/job003/micrographs_ctf.star", "AutoPick/job004/autopick.star", "Extract/job005/particles.star")
LEFTOVERS = (".combine_rank", ".relion_lock", ".cryosnake_moving", ".cryosnake_results")
TRASH = "Trash/"  # where the iterations of superseded jobs go
Identity = tuple[str, ...]  # inode, time of birth, size: a file that is written anew has another


@dataclass(frozen=True)
class Snapshot:
    """What was finished at some moment: lines of records, and files with what tells them from any later ones."""

    lines: dict[str, tuple[str, ...]]
    files: dict[str, Identity]


def finished_in(project: Path) -> Snapshot:
    """Return what is finished: recorded micrographs with their products, and complete iterations."""
    lines: dict[str, tuple[str, ...]] = {}
    found: list[str] = []
    for record in sorted(project.glob("[A-Z]*/job*/batches/*.done")):
        job = str(record.parent.parent.relative_to(project))
        whole = tuple(line for line in record.read_text().split("\n")[:-1] if line.count("\t") == 3)
        lines[str(record.relative_to(project))] = whole
        for line in whole:
            name, _, state, _ = line.split("\t")
            if state == "ok":
                found += product_files(job, by_folder(job.split("/")[0]).products, name)
    for optimiser in project.glob("Class2D/job*/run_it*_optimiser.star"):
        iteration = optimiser.name.partition("_optimiser")[0]
        found += [str(path.relative_to(project)) for path in optimiser.parent.iterdir()
                  if path.name.startswith(f"{iteration}_") and path.suffix in (".star", ".mrcs")]
    return Snapshot(lines, _identities(project, found))


def _identities(project: Path, names: list[str]) -> dict[str, Identity]:
    """What tells files from later ones; not when they were changed, for Snakemake touches what it has not made."""
    if not names:
        return {}
    done = subprocess.run(["stat", "-c", "%i\t%w\t%s\t%n", *names], cwd=project, capture_output=True, text=True)
    rows = (line.split("\t") for line in done.stdout.splitlines())  # what is gone is said on stderr
    return {name: tuple(identity) for *identity, name in rows}


def work_done(project: Path) -> int:
    """Return how much is finished, in micrographs and iterations."""
    recorded = sum(_lines(path) for path in glob(f"{project}/[A-Z]*/job*/batches/*.done"))  # what vanishes is no error
    return recorded + sum(len(glob(f"{project}/{place}Class2D/job*/run_it*_optimiser.star")) for place in ("", TRASH))


def _lines(path: str) -> int:
    with open(path, "rb") as file:
        return file.read().count(b"\n")


def faults(project: Path, reference: Path, before: list[Snapshot]) -> list[str]:
    """Return all that is wrong with a project that was completed, beside one that was never killed."""
    return [*lost_or_twice(project, before), *recorded_twice(project), *unlike(project, reference), *left_over(project),
            *wrong_status(project)]


def lost_or_twice(project: Path, before: list[Snapshot]) -> list[str]:
    """Compare what was finished at some moments with what is there now."""
    found = set()
    now = finished_in(project)
    for snapshot in before:
        for record, lines in snapshot.lines.items():
            if not set(lines) <= set(now.lines.get(record, ())):
                found.add(f"lost: lines of {record}")
        for name, identity in snapshot.files.items():
            places = {} if now.files.get(name) == identity else _identities(project, [name, TRASH + name])
            if not places and now.files.get(name) != identity:
                found.add(f"lost: {name}")
            elif places and identity not in places.values():
                found.add(f"twice: {name} was written again")
    return sorted(found)


def recorded_twice(project: Path) -> list[str]:
    """Return the micrographs that a job has not recorded exactly once."""
    movies = sorted(path.name for path in (project / "Movies").iterdir())
    found = []
    for batches in sorted(project.glob("*/job*/batches")):
        names = Counter(Path(line.split("\t")[0]).stem for record in batches.glob("*.done")
                        for line in record.read_text().splitlines())
        job = batches.parent.relative_to(project)
        found += [f"twice: {job} recorded {name} {count} times" for name, count in names.items() if count > 1]
        found += [f"lost: {job} has not recorded {movie}" for movie in movies if not names[Path(movie).stem]]
    return found


def unlike(project: Path, reference: Path) -> list[str]:
    """Compare the final tables and all images."""
    found = [f"differs: {name}" for name in TABLES
             if not (project / name).exists() or (project / name).read_bytes() != (reference / name).read_bytes()]
    for path in sorted(reference.glob("*/job*/**/*.mrc*")):
        name = path.relative_to(reference)
        if path.is_symlink() or path.suffix not in (".mrc", ".mrcs") or path.parent.is_symlink():
            continue
        try:
            ours, theirs = read_mrc(project / name)[0], read_mrc(path)[0]
        except CryosnakeError as error:
            found.append(f"lost: {name} ({error})")
            continue
        difference = float(np.sqrt(np.mean((ours - theirs) ** 2) / max(float(np.mean(theirs**2)), 1e-30)))
        if difference > (1e-3 if name.parts[0] == "Class2D" else 0.0):
            found.append(f"differs: {name}, relative RMS {difference:.2g}")
    return found


def left_over(project: Path) -> list[str]:
    """Return temporary files, locks and markers that nobody needs any more."""
    return [f"left over: {path.relative_to(project)}" for path in project.rglob("*")
            if path.name.endswith(".tmp") or path.name.startswith(LEFTOVERS)
            or (path.parent.name in ("locks", "incomplete") and path.parent.parent.name == ".snakemake")]


def wrong_status(project: Path) -> list[str]:
    """Return the jobs that are not listed as finished, and what RELION would change or can't read."""
    pipeline = read_pipeline(project / "default_pipeline.star")
    found = [f"status: {process.name} is {process.status.label}" for process in pipeline.processes.values()
             if process.status != Status.SUCCEEDED]
    found += [f"status: {process.name} has no RELION_JOB_EXIT_SUCCESS" for process in pipeline.processes.values()
              if not (project / process.name / "RELION_JOB_EXIT_SUCCESS").exists()]
    found += [f"status: node {node} is not there" for node in pipeline.nodes if not (project / node).exists()]
    return found + unread_by_relion(project)


def unread_by_relion(project: Path) -> list[str]:
    """Let RELION read the project, where it is installed."""
    if shutil.which("relion_pipeliner") is None:
        return []
    before = read_pipeline(project / "default_pipeline.star")
    done = subprocess.run(["relion_pipeliner", "--check_job_completion"], cwd=project, capture_output=True, text=True,
                          timeout=300, check=False)
    after = read_pipeline(project / "default_pipeline.star")
    if done.returncode or {p.name: p.status for p in before.processes.values()} != {
            p.name: p.status for p in after.processes.values()}:
        return [f"RELION: {done.stdout}{done.stderr}"]
    return []
