"""Clean-up commands killed between two changes of files, and what must be true when they were repeated or undone."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from functools import cache
from pathlib import Path
from shutil import copytree

from cryosnake.pipeline.files import read_pipeline
from cryosnake.project.cleaning.bulk.run import FOLDER, unfinished_manifest
from cryosnake.project.cleaning.clean import unclean
from cryosnake.project.cleaning.delete import current_pipeline, finish_deletions
from cryosnake.project.cleaning.undelete import deletions, undelete
from cryosnake.project.locks.clean_up_lock import cleaning_up
from cryosnake.project.records.cleaned_files import RECORD
from kill_checks import left_over, unread_by_relion, wrong_status
from small_project import command

Words = tuple[str, ...]
# (what is killed, what is done before it)
ACTIONS: tuple[tuple[Words, tuple[Words, ...]], ...] = (
    (("clean", "--all", "--harsh"), ()),
    (("clean", "classes", "--gentle"), ()),
    (("clean", "classes", "--clear"), ()),
    (("clean", "particles", "--clear"), ()),
    (("delete", "particles", "--yes"), ()),
    (("delete", "motion", "--yes"), ()),
    (("delete", "ctf", "--yes"), (("clean", "--all", "--harsh"),)),
    (("cleanup", "--clear-non-final", "--apply"), ()),
    (("cleanup", "--delete-non-final", "--apply"), ()),
    (("cleanup", "--preprocessing", "motion,extract,picks", "--intermediates", "--apply"), ()),
    (("unclean", "motion", "particles"), (("clean", "--all", "--harsh"),)),
    (("undelete", "Extract/job005"), (("delete", "ctf", "--yes"),)),
)
THEN = ("repeated", "undone", "run")
CHANGING = ("default_pipeline.star", "run.out", "run.err", "note.txt", "RELION_JOB_EXIT_SUCCESS",
            "RELION_JOB_EXIT_FAILED", "RELION_JOB_EXIT_ABORTED")


def kill_clean_up(reference: Path, project: Path, seed: int) -> tuple[str, list[str]]:
    """Kill one clean-up in a copy of a finished project; return what was done, and what is wrong then."""
    draw = random.Random(seed)
    words, first = draw.choice(ACTIONS)
    then = draw.choice(THEN)
    step = draw.randint(1, steps_of(reference, project, words, first))
    copytree(reference, project, symlinks=True)
    told = f"{' '.join(words)}: killed at step {step} of {steps_of(reference, project, words, first)}, then {then}"
    before = files_in(project)
    for line in first:
        call(project, line)
    if call(project, words, at=step).returncode != -signal.SIGKILL:
        return told, ["the command was not killed"]
    found = []
    if then == "repeated":
        done = call(project, words)
        found += [f"repeated: {done.stdout}{done.stderr}"] if done.returncode else []
    if then == "run":
        done = subprocess.run(command(project), capture_output=True, text=True)
        found += [f"blocked: {done.stdout[-2000:]}{done.stderr[-2000:]}"] if done.returncode else []
    with chdir(project):
        found += [f"left over: {unfinished_manifest()}"] if then == "repeated" and unfinished_manifest() else []
        found += [f"lost: {name}" for name in before if not anywhere(name)]
        new = len(current_pipeline().processes) > len(read_pipeline(reference / "default_pipeline.star").processes)
        found += torn_manifests()
        if (not new and "delete" not in words[0] + words[1]) or then != "run":
            undo_all()
            found += unlike_before(before)
    return told, found + left_over(project) + nothing_to_do(project)


@cache
def steps_of(reference: Path, project: Path, words: Words, first: tuple[Words, ...]) -> int:
    """Return how often a command changes a file, from a run of it to its end."""
    trial = project.with_name(f"{project.name}_trial")
    copytree(reference, trial, symlinks=True)
    try:
        for line in first:
            call(trial, line)
        count = trial / "count"
        done = call(trial, words)
        assert done.returncode == 0, done.stdout + done.stderr
        return int(count.read_text())
    finally:
        subprocess.run(["rm", "-r", str(trial)], check=True)


def call(project: Path, words: Words, at: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command of `cryosnake` in a project, killed before its change number `at`."""
    program = str(Path(__file__).with_name("kill_at.py"))
    return subprocess.run([sys.executable, program, str(at), str(project / "count"), *words], cwd=project,
                          capture_output=True, text=True)


def files_in(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of the files of jobs that no command may change."""
    return {str(path.relative_to(folder)): (path.lstat().st_size, path.lstat().st_mtime_ns)
            for path in folder.glob("*/job*/**/*")
            if path.is_file() and not path.parts[len(folder.parts)].startswith(("Trash", "."))
            and path.name not in CHANGING and not path.name.startswith(".cryosnake")}


def anywhere(name: str) -> bool:
    """Whether a file is in place, or in the Trash, or travels with its job's directory there."""
    job, rest = "/".join(name.split("/")[:2]), "/".join(name.split("/")[2:])
    return any(os.path.lexists(place) for place in (name, f"Trash/{name}", f"{job}/.cryosnake_cleaned/{rest}",
                                                     f"Trash/{job}/.cryosnake_cleaned/{rest}"))


def undo_all() -> None:
    """Bring back what was deleted and cleaned in the project in the working directory."""
    with cleaning_up():
        finish_deletions(current_pipeline())
        for item in reversed(deletions()):
            undelete(item)
        for name in current_pipeline().processes:
            unclean(name)


def unlike_before(before: dict[str, tuple[int, int]]) -> Iterator[str]:
    """Yield what is not as it was before the clean-up."""
    now = files_in(Path.cwd())
    yield from (f"lost: {name} did not come back" for name in before if name not in now)
    yield from (f"differs: {name} came back otherwise" for name, was in before.items() if now.get(name, was) != was)
    yield from (f"left over: {path}" for path in Path("Trash").rglob("*") if path.is_file())
    yield from (f"left over: {path}" for path in Path().glob(f"*/job*/{RECORD}"))
    yield from wrong_status(Path.cwd())


def torn_manifests() -> list[str]:
    """Return the manifests that hold a line that is neither complete nor the last."""
    found = []
    for path in FOLDER.glob("*.jsonl"):
        for line in path.read_text().split("\n")[:-1]:
            try:
                json.loads(line)
            except ValueError:
                found.append(f"torn: {path}: {line!r}")
    return found


def nothing_to_do(project: Path) -> list[str]:
    """Let Snakemake complete the project, and say that there is nothing more to do."""
    for attempt in ("first", "second"):
        done = subprocess.run(command(project), capture_output=True, text=True)
        if done.returncode:
            return [f"blocked ({attempt} call): {done.stdout[-2000:]}{done.stderr[-2000:]}"]
        if "Nothing to be done" in done.stdout + done.stderr:
            return unread_by_relion(project)
    return [f"twice: {done.stdout[-3000:]}{done.stderr[-3000:]}"]
