"""Random histories of a project: what a person has stays, whatever comes, goes, is cleaned or killed.

`python tests/project/any_history.py --histories 300` tries many, and prints how often each thing was done; the test
suite tries a few. `stub_run.py` stands in for Snakemake and for the numerics; kills are real ones, of a process of its
own, before any change of a file.
"""

from __future__ import annotations

import argparse
import copy
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import yaml
from history_checks import (
    canary,
    changed_results,
    choices_that_are_lost,
    inputs_that_are_lost,
    job_paths,
    numbers_used,
    results_of,
    summary_of,
    tree,
)
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from stub_run import TORN, killed_at, plan_of, snakemake

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import write_mrc
from cryosnake.pipeline.model import Status
from cryosnake.project.actions.choosing import choose, offer_for
from cryosnake.project.actions.retry import retry_failed
from cryosnake.project.building.stale_outputs import pending_files
from cryosnake.project.cleaning.clean import clean, plan_action, unclean
from cryosnake.project.cleaning.delete import current_pipeline, delete_jobs, plan_deletion
from cryosnake.project.cleaning.undelete import deletion_of, deletions, empty_trash, undelete
from cryosnake.project.locks.clean_up_lock import cleaning_up
from cryosnake.project.records.final_marks import is_final, set_final

CLASS2D = {"type": "class2d", "particle_diameter": 9, "classes": 2, "iterations": 2}
CONFIG: dict[str, Any] = {
    "microscope": {"voltage": 300, "spherical_aberration": 2.7, "pixel_size": 1.0, "dose_per_frame": 1.2},
    "batch_size": 2, "pictures": False,
    "jobs": {
        "movies": {"type": "import", "movies": "Movies/*.mrcs", "settling_time": 0},
        "motion": {"type": "motioncorr", "movies": "movies", "max_failed": 1.0},
        "picks": {"type": "autopick", "micrographs": "motion", "method": "log", "diameter": [90, 90]},
        "cut": {"type": "extract", "micrographs": "motion", "coordinates": "picks", "box_size": 8},
        "classes": {**CLASS2D, "particles": "cut"},
        "chosen": {"type": "select", "particles": "classes", "classes": [1]},
        "good": {"type": "select", "particles": "classes", "minimum_score": 0.5, "model": "classes"},
        "refine": {"type": "refine3d", "particles": "good", "reference": "map.mrc", "particle_diameter": 9},
        "late": {**CLASS2D, "particles": "cut", "classes": 3, "at_least": 15},
        "theirs": {**CLASS2D, "particles": "theirs.star"}},
}
NUMBERS = st.integers(0, 99)


class Histories(RuleBasedStateMachine):
    """A project in a temporary folder, beside things of others, and what is known of it."""

    done: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # much is flushed to the disk
        self.home, self.folder = os.getcwd(), Path(tempfile.mkdtemp(prefix="history", dir=memory))
        self.movies, self.takes = 0, 0
        self.results: dict[str, dict[str, str]] = {}  # of finished jobs: digests of files
        self.numbers: dict[int, str] = {}
        self.lost: set[str] = set()  # jobs whose data the user has thrown away for good
        self.moved: set[str] = set()  # those whose data the user has moved to the Trash
        self.settled = False

    @initialize(superseded=st.sampled_from(["clear", "clear", "keep", "trash"]), linked_trash=st.booleans())
    def begin(self, superseded: str, linked_trash: bool) -> None:
        """Two movies, a map, and particles of somebody; links lead to the things of others."""
        self.config = {**copy.deepcopy(CONFIG), "superseded": superseded}
        project, beside = self.folder / "project", self.folder / "beside"
        for folder in (project / "Movies", beside / "movies", beside / "Class2D" / "job001", beside / "Trash"):
            folder.mkdir(parents=True)
        for name in ("run_it001_data.star", "batches.star"):
            (beside / "Class2D" / "job001" / name).write_text("of another project")
        (beside / "Trash" / "letter.txt").write_text("of somebody")
        os.chdir(project)
        os.symlink("../beside", "beside")
        if linked_trash:
            os.symlink("../beside/Trash", "Trash")
        Path("map.mrc").write_text("a map")
        Path("stack.mrcs").write_text("images")
        Path("config.yaml").write_text(yaml.safe_dump(self.config))
        self._write_theirs(3)
        self._arrive(2)
        self.canary = canary(beside)
        self._settle()

    def _write_theirs(self, rows: int) -> None:
        lines = "".join(f"{number:06d}@stack.mrcs 1\n" for number in range(1, rows + 1))
        Path("theirs.star").write_text(f"data_particles\n\nloop_\n_rlnImageName #1\n_rlnClassNumber #2\n{lines}\n")
        self.theirs = rows

    def _arrive(self, count: int) -> None:
        for _ in range(count):
            self.movies += 1
            self._take(f"Movies/m{self.movies:02d}.mrcs")

    def _take(self, movie: str) -> None:
        """Write a movie; every other one is a link to where the microscope writes."""
        self.takes += 1
        place = Path(movie)
        if self.takes % 2:
            place = self.folder / "beside" / "movies" / f"take{self.takes}.mrcs"
        Path(movie).unlink(missing_ok=True)
        write_mrc(place, np.full((2, 8, 8), self.takes, np.float32), 1.0, stack=True)
        if self.takes % 2:
            os.symlink(place, movie)
        self.canary = canary(self.folder / "beside")

    def _settle(self) -> None:
        """Run until nothing is to be done, and check that this is so."""
        for _ in range(3):
            snakemake(self.config)
            if not pending_files(plan_of(self.config)):
                break
        _none("still to be done", pending_files(plan_of(self.config)))
        before = tree(content=True)
        _none("done again", snakemake(self.config))
        _none("changed by a run with nothing to do", _differences(before, tree(content=True)))
        self._note()
        self.settled = True
        _none("inputs that can't be had again", inputs_that_are_lost(self.lost))
        _none("chosen from", choices_that_are_lost("chosen", self.lost | self.moved))

    def _note(self) -> None:
        """Compare the results of finished jobs with those of before, and remember those that are new."""
        now = {path: results_of(path) for path in job_paths()}
        _none("results that have changed", changed_results(self.results, now))
        for path, found in now.items():
            self.results[path] = self.results.get(path, {}) | found

    def _pick(self, choice: int, *, among: tuple[Status, ...] = tuple(Status)) -> str:
        names = [process.name for process in current_pipeline().processes.values() if process.status in among]
        return names[choice % len(names)].rstrip("/") if names else ""

    @rule(count=st.integers(1, 2))
    def arrive(self, count: int) -> None:
        """Let movies come. (Hypothesis prefers the first rule by its name: it is one that matters.)"""
        self._arrive(count)
        self._did("movies arrive")

    @rule(rows=st.integers(1, 3))
    def particles_arrive(self, rows: int) -> None:
        self._write_theirs(self.theirs + rows)
        self._did("particles arrive")

    @rule(choice=NUMBERS)
    def replace_a_movie(self, choice: int) -> None:
        self._take(f"Movies/m{choice % self.movies + 1:02d}.mrcs")
        self._did("movie replaced")

    @precondition(lambda self: not os.path.exists(TORN))
    @rule(choice=NUMBERS)
    def a_movie_is_torn(self, choice: int) -> None:
        """Replace a movie by one that fails in motion correction."""
        self.replace_a_movie(choice)
        Path(TORN).write_text(f"Movies/m{choice % self.movies + 1:02d}.mrcs")

    @precondition(lambda self: os.path.exists(TORN))
    @rule(sure=st.booleans())
    def retry(self, sure: bool) -> None:
        """Try a movie that has failed again: it is good now, or not."""
        if sure:
            Path(TORN).unlink()
        for path in Path("MotionCorr").glob("job*"):
            retry_failed(str(path))
        self._did("retried")

    @rule(name=st.sampled_from(["", "", "", "movies", "motion", "cut", "classes", "chosen", "good", "theirs"]))
    def run(self, name: str) -> None:
        """Run until nothing is to be done; or make a job again, beside what is finished, unless that is final."""
        if not name:
            self._settle()
            self.done["run"] += 1
            return
        try:
            snakemake(self.config, [name])
        except CryosnakeError as error:
            assert "is final" in str(error), error
        self._note()
        self._did("forced")

    @rule(moment=st.integers(1, 800), names=st.sampled_from([(), (), ("classes",), ("motion",)]), full=st.booleans())
    def stopped(self, moment: int, names: tuple[str, ...], full: bool) -> None:
        """Start a run, and kill it before a change of a file, or let the disk be full from then on."""
        stopped = killed_at(moment, self.config, names, full=full)
        self._did("run that was not stopped" if not stopped else "disk full" if full else "killed")

    @rule(numbers=st.sampled_from([(1,), (2,), (1, 2)]))
    def choose_classes(self, numbers: tuple[int, ...]) -> None:
        """Choose from what there is; refused where there is nothing, or the choice is final."""
        try:
            choose(offer_for("chosen"), numbers)
        except CryosnakeError:
            return
        self._did("chosen")

    @rule(by=st.sampled_from(["cp -r", "zip"]))
    def copy(self, by: str) -> None:
        """Put a copy in the project's place: with new times, or with even seconds. Nothing is to be done for that."""
        project, before = self.folder / "project", self.folder / "before"
        project.rename(before)
        shutil.copytree(before, project, symlinks=True, copy_function=shutil.copyfile if by == "cp -r" else _as_zip)
        shutil.rmtree(before)
        os.chdir(project)
        if self.settled:
            _none("to be done in a copy", pending_files(plan_of(self.config)))
            _none("done in a copy", snakemake(self.config))
            self._note()
        self.done["copied"] += 1

    @rule(choice=NUMBERS)
    def mark_final(self, choice: int) -> None:
        path = self._pick(choice, among=(Status.SUCCEEDED,))
        if path:
            set_final(path, not is_final(path))
            self._did("final")

    @precondition(lambda self: job_paths())
    @rule(choice=NUMBERS)
    def delete_a_job(self, choice: int) -> None:
        """Move a job, and what depends on it, to the Trash; refused where something of it is final."""
        path = self._pick(choice)
        final = [job for job in job_paths() if is_final(job)]
        with cleaning_up():
            try:
                deletion = plan_deletion(current_pipeline(), [path])
            except CryosnakeError:
                return
            assert not set(final) & {name.rstrip("/") for name in deletion.all}
            delete_jobs(deletion)
        self.moved |= {name.rstrip("/") for name in deletion.all}
        self._did("deleted")

    @precondition(lambda self: deletions())
    @rule(choice=NUMBERS)
    def undelete_a_job(self, choice: int) -> None:
        found = deletions()
        with cleaning_up():
            try:
                undelete(deletion_of(found[choice % len(found)].holder))
            except CryosnakeError:
                return
        self._did("undeleted")

    @precondition(lambda self: job_paths())
    @rule(choice=NUMBERS)
    def delete_a_product(self, choice: int) -> None:
        """Remove a file of a job of the config by hand: it is made again."""
        plan = plan_of(self.config)
        files = [str(path) for job in plan.jobs.values() if job.numbered and not is_final(job.path)
                 for path in sorted(Path(job.path).rglob("*")) if path.suffix in (".mrc", ".mrcs", ".star")
                 and (str(path) in job.files() or "Movies" in path.parts)]
        if files:
            Path(files[choice % len(files)]).unlink()
            self._did("product deleted")

    @precondition(lambda self: job_paths())
    @rule(choice=NUMBERS, level=st.sampled_from(["clear", "harsh", "gentle"]))
    def clean_a_job(self, choice: int, level: str) -> None:
        """Clean a job at some level; refused where it is final."""
        path = self._pick(choice)
        with cleaning_up():
            try:
                action = plan_action(current_pipeline(), f"{path}/", level)
            except CryosnakeError:
                return
            assert not is_final(path)
            clean(action)
        self.moved |= {path} if level == "clear" else set()
        self._did(level)

    @precondition(lambda self: job_paths())
    @rule(choice=NUMBERS)
    def bring_back(self, choice: int) -> None:
        path = self._pick(choice)
        with cleaning_up():
            unclean(f"{path}/")
        self._did("uncleaned")

    @rule(sure=st.booleans())
    def throw_away(self, sure: bool) -> None:
        """Empty the Trash: what is in it is lost, and nothing of others."""
        if not sure:
            return
        self.lost |= set(self.results) | set(job_paths())
        with cleaning_up():
            empty_trash()
        self._did("trash emptied")

    def _did(self, what: str) -> None:
        self.done[what] += 1
        self.settled = False

    @invariant()
    def things_of_others_are_as_they_were(self) -> None:
        if hasattr(self, "canary"):
            _none("things of others", _differences(self.canary, canary(self.folder / "beside")))

    @invariant()
    def no_number_is_used_twice(self) -> None:
        for number, job in numbers_used().items():
            assert self.numbers.setdefault(number, job) == job

    @invariant()
    def planning_writes_nothing_and_a_job_that_waits_has_no_number(self) -> None:
        if not hasattr(self, "config"):
            return
        before = tree()
        plan = plan_of(self.config)
        _none("planned otherwise", _differences(summary_of(plan), summary_of(plan_of(self.config))))
        _none("written by planning", _differences(before, tree()))
        for job in plan.jobs.values():
            assert not (job.new and job.why_held and job.numbered), job.path
            assert job.new == (not os.path.isdir(job.path)), job.path

    @invariant()
    def final_results_are_there(self) -> None:
        """The results of final jobs, and of the first choice, are there, as they were."""
        for path in job_paths():
            if is_final(path) and path in self.results and "job" in path:
                _none("final results", changed_results({path: self.results[path]}, {path: results_of(path)}))

    def teardown(self) -> None:
        """Nothing is to be done after one more run."""
        try:
            if hasattr(self, "config") and not self.settled:
                self._settle()
            self.done["histories"] += 1
        finally:
            os.chdir(self.home)
            shutil.rmtree(self.folder, ignore_errors=True)


def _none(what: str, found: Collection[object]) -> None:
    assert not found, f"{what}: {found}"


def _differences(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    return [f"{name}: {before.get(name)!r:.200} -> {after.get(name)!r:.200}" for name in before.keys() | after.keys()
            if before.get(name) != after.get(name)]


def _as_zip(source: str, target: str) -> None:
    shutil.copyfile(source, target)
    os.utime(target, (os.stat(source).st_mtime // 2 * 2,) * 2)


def run_histories(histories: int, steps: int, *, derandomize: bool = True) -> Counter[str]:
    """Try so many histories of at most so many steps; return how often each thing was done."""
    Histories.done = Counter()
    run_state_machine_as_test(Histories, settings=settings(
        max_examples=histories, stateful_step_count=steps, deadline=None, derandomize=derandomize, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck), print_blob=False))
    return Histories.done


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--histories", type=int, default=300)
    parser.add_argument("--steps", type=int, default=12)
    given = parser.parse_args()
    start = time.monotonic()
    counts = run_histories(given.histories, given.steps, derandomize=False)
    print(", ".join(f"{name}: {count}" for name, count in sorted(counts.items())), f"{time.monotonic() - start:.0f} s")
