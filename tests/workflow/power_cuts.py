"""Power cuts at random moments of a small project: all ends at once, and what was not flushed may be lost.

    python tests/workflow/power_cuts.py --cuts 20 [--seed 1] [--folder F] [--only SEED]

Python is told to note each file that it flushes (noted_syncs). After everything was killed, files changed in the last
half minute that were not flushed are left as they are, emptied, cut off, or removed, as a disk may do that never saw
their data or names; files that only grow are cut off. Then the same command must complete the project, as one that was
never cut off: nothing lost, and no job done again whose files all survived. The test suite runs one chain of two.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from kill_checks import Snapshot, finished_in, left_over, lost_or_twice, unlike, wrong_status
from kill_victims import end_all
from random_kills import PATIENCE, Reference, begin, make_reference, strike
from small_project import command, snakemake

WINDOW = 30.0  # seconds after which a disk has written what it got
GROWING = (".done", ".rows", ".out", ".err", ".log", "run_times.tsv", "note.txt", ".cryosnake_files.tsv")
FATES = ("stays", "stays", "stays", "is empty", "is empty", "is cut off", "is gone")


@dataclass
class Outcome:
    """What happened: what the project was doing at each cut, files that suffered, and what is wrong at the end."""

    doing: list[str] = field(default_factory=list)
    suffered: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def power_cut(project: Path, journal: Path, draw: random.Random) -> list[str]:
    """Do to files that were not flushed what a power cut can do to them; return them ("a.star is empty")."""
    flushed = {tuple(line.split()) for line in journal.read_text().splitlines()} if journal.exists() else set()
    since, suffered = time.time() - WINDOW, []
    for folder, _, names in os.walk(project):
        for path in (Path(folder, name) for name in sorted(names)):
            status = path.lstat()
            if path.is_symlink() or status.st_mtime < since or (str(status.st_ino), str(status.st_size)) in flushed:
                continue
            fate = draw.choice(FATES)
            if path.name.endswith(GROWING) and fate != "stays":
                fate = "is cut off"
            if fate == "is gone":
                path.unlink()
            elif fate != "stays" and status.st_size:
                os.truncate(path, draw.randrange(status.st_size) if fate == "is cut off" else 0)
            if fate == "is gone" or (fate != "stays" and status.st_size):
                suffered.append(f"{path.relative_to(project)} {fate}")
    return suffered


def cut_chain(reference: Reference, project: Path, seed: int, most: int = 2) -> Outcome:
    """Cut the power up to `most` times in one project, complete it, and check it."""
    draw, outcome, before = random.Random(seed), Outcome(), list[Snapshot]()
    journal = project.with_name(f"{project.name}.syncs")
    noting = {"NOTED_SYNCS": str(journal),
              "PYTHONPATH": f"{Path(__file__).with_name('noted_syncs')}:{os.environ.get('PYTHONPATH', '')}"}
    shutil.copytree(reference.template, project, symlinks=True)
    for movie in (project / "Movies").iterdir():
        os.utime(movie, (time.time() - 3600,) * 2)  # they came long before
    try:
        while len(outcome.doing) < most:
            with patch.dict(os.environ, noting):
                process = begin(project, command(project))
            doing = strike(project, process, "group", draw, reference)
            if doing is None:
                break
            end_all(project)
            process.wait(PATIENCE)
            outcome.doing.append(doing)
            suffered = power_cut(project, journal, draw)
            outcome.suffered += suffered
            before.append(_whole(project, suffered))
        code = begin(project, command(project)).wait(PATIENCE)
        outcome.wrong += [f"the same command ended with {code}"] if code else []
        outcome.wrong += [*lost_or_twice(project, before), *unlike(project, reference.finished), *left_over(project),
                          *wrong_status(project)]
        if not outcome.wrong and "Nothing to be done" not in snakemake(project, "--dry-run"):
            outcome.wrong.append("something is still to be done")
    except subprocess.TimeoutExpired:
        outcome.wrong.append(f"blocked: a run did not end in {PATIENCE:g} s")
    finally:
        end_all(project)
    return outcome


def _whole(project: Path, suffered: list[str]) -> Snapshot:
    """Return the finished files of jobs of which nothing suffered."""
    jobs = {"/".join(line.split("/")[:2]) for line in suffered}
    found = finished_in(project)
    return Snapshot({}, {name: file for name, file in found.files.items() if "/".join(name.split("/")[:2]) not in jobs})


def main() -> int:
    """Cut as often as was asked for; print each chain, and what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", type=int)
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    reference, seed, cuts, wrong = make_reference(folder, movies=3), arguments.seed, 0, 0
    while cuts < arguments.cuts and not (arguments.only is not None and cuts):
        seed = arguments.only if arguments.only is not None else seed + 1
        project = folder / f"cut_{seed}"
        shutil.rmtree(project, ignore_errors=True)
        outcome = cut_chain(reference, project, seed)
        cuts, wrong = cuts + max(1, len(outcome.doing)), wrong + len(outcome.wrong)
        print(f"{seed}: {', '.join(outcome.doing)}; {len(outcome.suffered)} files suffered; "
              f"{'; '.join(outcome.wrong) or 'as it should be'}", flush=True)
        if not outcome.wrong:
            shutil.rmtree(project)
    print(f"{cuts} power cuts, {wrong} faults")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
