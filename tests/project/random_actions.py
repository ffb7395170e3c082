"""Random sequences of job actions against a model of what a project must be after each.

`python tests/project/random_actions.py --sequences 200 --relion-every 10` runs many and prints figures; the test suite
runs a few.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from made_project import MAP, PARTICLES, add_job, facts

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.edit import set_alias, set_status
from cryosnake.pipeline.files import PIPELINE_FILE, read_pipeline
from cryosnake.pipeline.lock import update_pipeline
from cryosnake.pipeline.markers import append_note, clear_exit, make_alias_link, remove_alias_link
from cryosnake.pipeline.model import Status
from cryosnake.project.cleaning.clean import clean, plan_action, unclean
from cryosnake.project.cleaning.delete import current_pipeline, delete_jobs, plan_deletion
from cryosnake.project.cleaning.undelete import deletion_of, undelete
from cryosnake.project.locks.clean_up_lock import cleaning_up
from cryosnake.project.records.final_marks import is_final, set_final

FOLDERS = ("Extract", "Class2D", "Refine3D", "PostProcess", "MotionCorr")
NUMBERS = st.integers(0, 99)


@dataclass
class ModelJob:
    """A job as it must be; `files` maps names to unique contents, `cleaned` are those in the Trash."""

    status: Status
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    files: dict[str, str]
    alias: str = ""
    final: bool = False
    cleaned: set[str] = field(default_factory=set)
    before_clear: Status | None = None
    notes: int = 0


class Actions(RuleBasedStateMachine):
    """The project in a temporary folder, and the model beside it."""

    relion_every = 0
    done: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.home, self.folder = os.getcwd(), tempfile.mkdtemp(prefix="actions")
        os.chdir(self.folder)
        self.jobs: dict[str, ModelJob] = {}
        self.deleted: list[dict[str, ModelJob]] = []
        self.made: Counter[str] = Counter()
        self.number = 0
        self._run("Import", ())

    def _run(self, folder: str, inputs: tuple[str, ...]) -> None:
        self.number += 1
        sizes = {f"Movies/{self.number}.mrcs": 1, f"Movies/{self.number}_extract.star": 1, "Movies/a.log": 1,
                 "run_it001_data.star": 1, "run_it002_data.star": 1, "run_it001_model.star": 1, "extra.mrc": 1}
        outputs = {"run_it002_data.star": PARTICLES, "map_masked.mrc": MAP}
        name = add_job(folder, self.number, outputs, inputs, files=sizes)
        files = {}
        for file in (*sizes, *outputs):
            files[file] = f"{name}{file}"
            Path(name, file).write_text(files[file])
        self.made.update(files.values())
        self.jobs[name] = ModelJob(Status.SUCCEEDED, inputs, tuple(name + file for file in outputs), files)

    def _pick(self, choice: int) -> str:
        return list(self.jobs)[choice % len(self.jobs)]

    def _descendants(self, name: str) -> set[str]:
        found = {name}
        while True:
            more = {child for child, job in self.jobs.items() for node in job.inputs
                    if any(node in self.jobs[parent].outputs for parent in found)} - found
            if not more:
                return found
            found |= more

    @precondition(lambda self: self.number < 9)
    @rule(folder=st.sampled_from(FOLDERS), first=NUMBERS, second=NUMBERS)
    def run(self, folder: str, first: int, second: int) -> None:
        """Add a job that has run on the results of one or two others."""
        nodes = [node for job in self.jobs.values() for node in job.outputs]
        if nodes:
            self._run(folder, tuple(dict.fromkeys(nodes[i % len(nodes)] for i in (first, second))))
            self.done["run"] += 1

    @precondition(lambda self: self.jobs)
    @rule(choice=NUMBERS, status=st.sampled_from(list(Status)))
    def mark(self, choice: int, status: Status) -> None:
        """Set a job's status."""
        name = self._pick(choice)
        update_pipeline(Path(), lambda pipeline: set_status(pipeline, name, status))
        clear_exit(name)
        self.jobs[name].status = status
        self.done["mark"] += 1

    @precondition(lambda self: self.jobs)
    @rule(choice=NUMBERS, final=st.booleans())
    def mark_final(self, choice: int, final: bool) -> None:
        """Mark a job as final, or not."""
        name = self._pick(choice)
        set_final(name, final)
        self.jobs[name].final = final
        self.done["final"] += 1

    @precondition(lambda self: self.jobs)
    @rule(choice=NUMBERS, alias=st.sampled_from(["first", "second", ""]))
    def alias(self, choice: int, alias: str) -> None:
        """Give an alias; who had it in this folder loses it."""
        name = self._pick(choice)
        old = self.jobs[name].alias
        full = f"{name.partition('/')[0]}/{alias}/" if alias else ""
        for job in self.jobs.values():
            if full and job.alias == full:
                job.alias = ""
        self.jobs[name].alias = full
        pipeline = update_pipeline(Path(), lambda present: set_alias(present, name, alias))
        if old and old != full:
            remove_alias_link(Path(), old)
        make_alias_link(Path(), pipeline.processes[name])
        self.done["alias"] += 1

    @precondition(lambda self: self.jobs)
    @rule(choice=NUMBERS)
    def note(self, choice: int) -> None:
        """Add to note.txt."""
        name = self._pick(choice)
        append_note(name, "a command")
        self.jobs[name].notes += 1
        self.done["note"] += 1

    @precondition(lambda self: self.jobs)
    @rule(choice=NUMBERS)
    def delete(self, choice: int) -> None:
        """Delete with all that depends on it, unless something of it is final or running."""
        name = self._pick(choice)
        expected = self._descendants(name)
        refused = any(self.jobs[job].final or self.jobs[job].status == Status.RUNNING for job in expected)
        try:
            with cleaning_up():
                deletion = plan_deletion(current_pipeline(), [name])
                delete_jobs(deletion)
        except CryosnakeError:
            assert refused
            self.done["delete refused"] += 1
            return
        assert not refused
        assert set(deletion.all) == expected
        self.deleted.append({job: self.jobs.pop(job) for job in deletion.all})
        self.done["delete"] += 1

    @precondition(lambda self: self.deleted)
    @rule(choice=NUMBERS)
    def undelete(self, choice: int) -> None:
        """Bring one deletion back; an alias that was taken meanwhile is gone."""
        group = self.deleted.pop(choice % len(self.deleted))
        with cleaning_up():
            undelete(deletion_of(list(group)[choice % len(group)]))
        taken = {job.alias for job in self.jobs.values() if job.alias}
        for name, job in group.items():
            job.alias = "" if job.alias in taken else job.alias
            self.jobs[name] = job
        self.done["undelete"] += 1

    @precondition(lambda self: self.jobs)
    @rule(choice=NUMBERS, level=st.sampled_from(["gentle", "harsh", "clear"]))
    def clean(self, choice: int, level: str) -> None:
        """Clean a job at some level."""
        name = self._pick(choice)
        job = self.jobs[name]
        refused = job.final or job.status == Status.RUNNING or (level == "clear" and name.startswith("Import/"))
        try:
            with cleaning_up():
                cleaning = plan_action(current_pipeline(), name, level, force=True)
                clean(cleaning)
        except CryosnakeError:
            assert refused
            self.done["clean refused"] += 1
            return
        assert not refused
        taken = set(cleaning.files) & set(job.files)
        assert not taken & job.cleaned
        if level != "clear":
            assert not {name + file for file in taken} & set(job.outputs)
        job.cleaned |= taken
        if level == "clear" and cleaning.files:
            job.before_clear = job.before_clear if job.before_clear is not None else job.status
            job.status = Status.SCHEDULED
        self.done[level] += 1

    @precondition(lambda self: self.jobs)
    @rule(choice=NUMBERS)
    def unclean(self, choice: int) -> None:
        """Bring cleaned files back."""
        name = self._pick(choice)
        with cleaning_up():
            assert unclean(name) == []
        job = self.jobs[name]
        job.cleaned = set()
        if job.before_clear is not None:
            job.status, job.before_clear = job.before_clear, None
        self.done["unclean"] += 1

    @invariant()
    def pipeline_is_the_models(self) -> None:
        """Processes, statuses, aliases, nodes and edges; nothing dangles."""
        warnings: list[str] = []
        pipeline = read_pipeline(PIPELINE_FILE, warnings)
        assert not warnings
        assert {p.name: (p.status, p.alias) for p in pipeline.processes.values()} == {
            name: (job.status, job.alias) for name, job in self.jobs.items()}
        assert set(pipeline.input_edges) == {(node, name) for name, job in self.jobs.items() for node in job.inputs}
        assert set(pipeline.output_edges) == {(name, node) for name, job in self.jobs.items() for node in job.outputs}
        inputs = {node for job in self.jobs.values() for node in job.inputs}
        assert set(pipeline.nodes) - inputs == {node for job in self.jobs.values() for node in job.outputs} - inputs
        assert pipeline.counter == self.number + 1

    @invariant()
    def files_are_the_models(self) -> None:
        """What is in place, and that no file was lost or made twice."""
        for name, job in self.jobs.items():
            here = {file: Path(name, file).read_text() for file in job.files if Path(name, file).exists()}
            assert here == {file: text for file, text in job.files.items() if file not in job.cleaned}, name
            assert is_final(name) == job.final
            assert Path(name, "note.txt").read_text().count("a command") == job.notes
            link = Path(job.alias.rstrip("/")) if job.alias else None
            assert link is None or os.readlink(link) == f"../{name}"
        found = Counter(path.read_text() for path in Path().rglob("*") if path.is_file() and not path.is_symlink()
                        and path.suffix in (".mrc", ".mrcs", ".star", ".log") and path.stat().st_size < 100)
        assert {text: found[text] for text in self.made} == dict(self.made)

    def teardown(self) -> None:
        """Let RELION read some of the end states."""
        Actions.done["sequences"] += 1
        if self.relion_every and Actions.done["sequences"] % self.relion_every == 0:
            before = facts(current_pipeline())
            done = subprocess.run(["relion_pipeliner", "--check_job_completion"], capture_output=True, text=True,
                                  timeout=60, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            assert facts(update_pipeline(Path(), lambda pipeline: pipeline)) == before
            Actions.done["read by RELION"] += 1
        os.chdir(self.home)
        shutil.rmtree(self.folder, ignore_errors=True)


def run_sequences(sequences: int, steps: int, *, relion_every: int = 0, derandomize: bool = True) -> Counter[str]:
    """Run so many sequences of at most so many actions; return how often each action was done."""
    Actions.relion_every, Actions.done = relion_every, Counter()
    run_state_machine_as_test(Actions, settings=settings(
        max_examples=sequences, stateful_step_count=steps, deadline=None, derandomize=derandomize, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck)))  # a shorter example takes minutes to find
    return Actions.done


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=200)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--relion-every", type=int, default=0, help="RELION reads each so many-th end")
    given = parser.parse_args()
    counts = run_sequences(given.sequences, given.steps, relion_every=given.relion_every, derandomize=False)
    print(", ".join(f"{name}: {count}" for name, count in sorted(counts.items())))
