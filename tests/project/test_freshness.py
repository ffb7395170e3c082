"""What is to be made, asked of our own function and of Snakemake (`snakemake -n`) in the same project."""

from __future__ import annotations

import copy
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_history import particles
from test_plan import RAW, add_movies, finish_all, plan_of

from cryosnake.pipeline.markers import set_exit
from cryosnake.pipeline.model import Status
from cryosnake.project.actions.retry import retry_failed
from cryosnake.project.building.stale_outputs import pending_files
from cryosnake.project.cleaning.clean import clean, plan_action
from cryosnake.project.cleaning.delete import current_pipeline
from cryosnake.project.config.config import BY_WATCHER, INTERNAL_KEYS
from cryosnake.project.locks.clean_up_lock import cleaning_up
from cryosnake.project.locks.job_status import set_job_status
from cryosnake.project.planning.planned import Disposition, Plan
from cryosnake.project.records.batches import batch_star, done_file
from cryosnake.project.records.cleaned_files import set_wanted
from cryosnake.project.records.freshness import is_finished, is_stale, newest
from cryosnake.project.run.commit import commit
from cryosnake.project.run.copied_files import record_files

MOTION, CTF, CLASSES, GOOD = "MotionCorr/job002", "CtfFind/job003", "Class2D/job004", "Select/job005"


def config() -> dict[str, Any]:
    raw = copy.deepcopy(RAW)
    raw["pictures"] = False
    raw["microscope"] |= {"amplitude_contrast": 0.1}
    raw["pictures"] = False  # which --touch would miss: these results are no results
    raw["jobs"] |= {"classes": {"type": "class2d", "particles": "particles.star", "classes": 2, "iterations": 2,
                                "particle_diameter": 100},
                    "good": {"type": "select", "particles": "classes", "minimal_class_size": 1}}
    return raw


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Iterator[Path]:
    """Five finished jobs: two batches through import, motion correction and CTF; classes and a selection of them."""
    before, folder = Path.cwd(), tmp_path_factory.mktemp("finished")
    os.chdir(folder)
    add_movies(1, 2, 3)
    Path("particles.star").write_text(particles(30))
    plan = plan_of(config())
    commit(plan)
    finish_all(plan)
    for job in plan.jobs.values():
        set_job_status(job.path, Status.SUCCEEDED)
    done = Path(done_file(CTF, 1))
    done.write_text(done.read_text().replace("ok\t", "failed\tit was torn", 1))
    os.utime(batch_star(CTF, "0001"))
    snakemake(config(), "--touch", "--forceall")  # which records what each file is made from
    yield folder
    os.chdir(before)


@pytest.fixture
def project(finished, tmp_path, monkeypatch) -> Path:
    shutil.copytree(finished, tmp_path / "project", symlinks=True)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def snakemake(raw: dict[str, Any], *options: str) -> str:
    pairs = [f"{key}={raw[key]}" for key in INTERNAL_KEYS if key in raw]  # as the watcher calls it
    Path("config.yaml").write_text(yaml.safe_dump({key: raw[key] for key in raw if key not in INTERNAL_KEYS}))
    options += ("--config", *pairs) if pairs else ()
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run([sys.executable, "-m", "snakemake", *options, "--snakefile", str(root / "Snakefile"),
                             "--cores", "1"], capture_output=True, text=True, env=os.environ | {BY_WATCHER: "1"})
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def snakemakes_answer(raw: dict[str, Any]) -> set[str]:
    """Return what Snakemake would make by itself; what only follows from that is left out."""
    said = snakemake(raw, "-n")
    jobs = re.findall(r"^Job \d+: (.+)\nReason: (.+)$", said, re.MULTILINE)
    assert bool(jobs) == ("Nothing to be done" not in said)
    return {job for job, reason in jobs if re.search("Missing output files|Updated input files", reason)}


def our_answer(plan: Plan) -> set[str]:
    said = set()
    for path in pending_files(plan):
        job = next(job for job in plan.jobs.values() if path.startswith(f"{job.path}/"))
        batch = re.search(r"/batches/(.+)\.star$", path)
        part = f", batch {batch[1]}" if batch else ", all batches" if job.config.type.per_micrograph else ""
        said.add(f"{job.name} ({job.path}){part}")
    return said


def clear(job: str, level: str) -> None:
    with cleaning_up():
        clean(plan_action(current_pipeline(), f"{job}/", level))


def both(*functions: Callable[[], Any]) -> Callable[[], None]:
    def do() -> None:
        for function in functions:
            function()

    return do


def gone(*paths: str) -> Callable[[], None]:
    return both(*(Path(path).unlink for path in paths))


def copied() -> None:
    """Give all files other times in any order, as a copy or an archive does, after a run has recorded them."""
    record_files(plan_of(config()))
    chance = random.Random(3)
    for path in Path().rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, (1e9 + 1e8 * chance.random(),) * 2)


STATES: dict[str, tuple[Callable[[], Any], set[str]]] = {
    "all is there": (lambda: None, set()),
    "it is a copy with other times": (copied, set()),
    "it is a copy, and two inputs have changed": (
        both(copied, lambda: Path("Movies/m03.mrcs").write_bytes(Path("Movies/m03.mrcs").read_bytes()[::-1]),
             lambda: Path("particles.star").write_text(particles(30).replace("1", "2"))),
        {"movies (Import/job001), batch 0002.r2", f"motion ({MOTION}), batch 0002.r2", f"ctf ({CTF}), batch 0002.r2",
         "classes (Class2D/job006)", "good (Select/job007)"}),
    "an output is missing": (gone(f"{GOOD}/particles.star"), {f"good ({GOOD})"}),
    "an input from outside has changed": (lambda: Path("particles.star").write_text(particles(31)),
                                          {"classes (Class2D/job006)", "good (Select/job007)"}),
    "a product is missing": (gone(f"{MOTION}/Movies/m03.mrc"), {f"motion ({MOTION}), batch 0002.r2",
                                                                f"ctf ({CTF}), batch 0002.r2"}),
    "a batch is missing": (gone(f"{CTF}/batches/0001.star"), {f"ctf ({CTF}), batch 0001"}),
    "a joined table is missing": (gone(f"{CTF}/micrographs_ctf.star"), {f"ctf ({CTF}), all batches"}),
    "failed micrographs are asked for again": (lambda: retry_failed(CTF), {f"ctf ({CTF}), batch 0001.r2"}),
    "a batch upstream has changed": (lambda: Path(f"{MOTION}/batches/0001.star").write_text("y"),
                                     {f"ctf ({CTF}), batch 0001.r2", f"motion ({MOTION}), all batches"}),
    "a movie more has come": (lambda: add_movies(4, 5), {"movies (Import/job001), batch 0003",
                                                         f"motion ({MOTION}), batch 0003", f"ctf ({CTF}), batch 0003"}),
    "a movie more has come, and Snakemake's records are lost": (
        both(lambda: add_movies(4), lambda: shutil.rmtree(".snakemake")),
        {"movies (Import/job001), batch 0003", f"motion ({MOTION}), batch 0003", f"ctf ({CTF}), batch 0003"}),
    "products were cleaned": (lambda: clear(MOTION, "harsh"), set()),
    "products were cleaned and somebody wants them": (
        both(lambda: clear(MOTION, "harsh"), lambda: set_wanted(MOTION, True)),
        {f"motion ({MOTION}), batch 0001.again1", f"motion ({MOTION}), batch 0002.again1"}),
    "results were cleared": (lambda: clear(CLASSES, "clear"), set()),
    "results were cleared and are needed": (both(lambda: clear(CLASSES, "clear"), gone(f"{GOOD}/particles.star")),
                                            {f"classes ({CLASSES})", f"good ({GOOD})"}),
}


@pytest.mark.workflow
@pytest.mark.parametrize("state", STATES)
def test_both_say_the_same(project, state) -> None:
    change, made = STATES[state]
    change()
    assert our_answer(plan_of(config())) == made
    assert snakemakes_answer(config()) == made


@pytest.mark.workflow
@pytest.mark.parametrize(("disposition", "changes", "made"), [
    (Disposition.BELOW_GROWTH, {"grow": 2.0}, set()),
    (Disposition.OTHER_LANE, {"only": "movies,motion,ctf,", "lane": "micrographs"}, set()),
    (Disposition.BATCHES_ONLY, {"only": "movies,motion,ctf,", "lane": "micrographs",
                                "hold": f"{CTF}/micrographs_ctf.star,"}, {f"ctf ({CTF}), batch 0001"}),
    (Disposition.HELD, {}, set()),
])
def test_both_say_the_same_of_each_disposition(project, disposition, changes, made) -> None:
    Path("particles.star").write_text(particles(31))
    if made:
        gone(f"{CTF}/batches/0001.star", f"{CTF}/micrographs_ctf.star")()
    raw = config() | changes
    if disposition is Disposition.HELD:
        raw["jobs"]["classes"]["at_least"] = 1000
    plan = plan_of(raw)
    assert disposition in {job.disposition for job in plan.jobs.values()}
    assert our_answer(plan) == made
    assert snakemakes_answer(raw) == made


def test_what_is_finished_and_what_is_stale(tmp_path) -> None:
    source, made = tmp_path / "source", tmp_path / "made"
    assert is_stale(made, [])
    made.touch()
    assert not is_stale(made, [source]) and newest([]) == 0
    source.touch()
    os.utime(made, ns=(1, 1))
    assert is_stale(made, [source]) and not is_stale(source, [made, source])
    assert newest([made, source]) == source.stat().st_mtime_ns
    with pytest.raises(FileNotFoundError):
        newest([tmp_path / "none"])
    assert not is_finished(str(tmp_path), [str(made)])
    set_exit(tmp_path, Status.SUCCEEDED)
    assert is_finished(str(tmp_path), [str(made)]) and not is_finished(str(tmp_path), [str(made), "none"])
