"""Jobs that `snakemake -f`, `-F` and `-R` ask for again: planned beside what is finished, and made again whole."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from small_history import particles
from test_plan import RAW, add_movies, finish_all, plan_of

from cryosnake.errors import CryosnakeError
from cryosnake.pipeline.markers import clear_exit
from cryosnake.project.config.config import parse_config
from cryosnake.project.planning.forced import forced_jobs
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.planning.planned import WAITING, Disposition, Plan
from cryosnake.project.records.batches import done_file, read_done
from cryosnake.project.records.final_marks import set_final
from cryosnake.project.run.commit import commit
from cryosnake.project.snakemake_internals import Request

CLASSES, GOOD, LATER = "Class2D/job004", "Select/job005", f"{WAITING}later"
NAMES = ("movies", "motion", "ctf", "classes", "good", "later")


def config() -> dict[str, Any]:
    raw = copy.deepcopy(RAW)
    raw["microscope"] |= {"amplitude_contrast": 0.1}
    classes = {"type": "class2d", "particles": "particles.star", "classes": 2, "particle_diameter": 100}
    raw["jobs"] |= {"classes": classes, "good": {"type": "select", "particles": "classes", "minimal_class_size": 1},
                    "later": {**classes, "classes": 3, "at_least": 1000}}
    return raw


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch) -> None:
    """Two batches through import, motion correction and CTF; classes, a selection, and classes that wait for more."""
    monkeypatch.chdir(tmp_path)
    add_movies(1, 2, 3)
    Path("particles.star").write_text(particles(30))
    plan = plan_of(config())
    commit(plan)
    finish_all(plan, besides=["later"])


def forced(*names: str, **changes: Any) -> Plan:
    return make_plan(parse_config(config() | changes), forced=names)


def keys(plan: Plan) -> dict[str, Sequence[str]]:
    return {name: list(job.batches.values()) or job.path for name, job in plan.jobs.items()}


BEFORE = {"movies": ["0001", "0002"], "motion": ["0001", "0002"], "ctf": ["0001", "0002"], "classes": CLASSES,
          "good": GOOD, "later": LATER}
SECOND = ["0001.r2", "0002.r2"]


@pytest.mark.parametrize(("names", "changed"), [
    ((), {}),
    (("motion",), {"motion": SECOND, "ctf": SECOND}),  # with what is made from it
    (("movies",), {"movies": SECOND, "motion": SECOND, "ctf": SECOND}),
    (("good",), {"good": "Select/job006"}),
    (("classes",), {"classes": "Class2D/job006", "good": "Select/job007"}),
    (("later",), {}),  # which was never finished, and waits
    (NAMES, {"movies": SECOND, "motion": SECOND, "ctf": SECOND, "classes": "Class2D/job006", "good": "Select/job007"}),
])
def test_what_is_forced_gets_a_place_of_its_own(names, changed) -> None:
    plan = forced(*names)
    assert keys(plan) == BEFORE | changed
    assert {name for name, job in plan.jobs.items() if job.forced} == changed.keys() - (
        {"good"} if "classes" in changed else set())  # which is another job, as its input is


def test_below_its_growth_a_job_is_made_again_too() -> None:
    Path("particles.star").write_text(particles(31))
    assert forced(grow=1.5).jobs["classes"].disposition is Disposition.BELOW_GROWTH
    job = forced("classes", grow=1.5).jobs["classes"]
    assert (job.path, job.disposition) == ("Class2D/job006", Disposition.ALL)


def test_what_is_not_finished_keeps_its_number() -> None:
    clear_exit(CLASSES)
    assert forced("classes").jobs["classes"].path == CLASSES


@pytest.mark.parametrize(("final", "names"), [("MotionCorr/job002", ("motion",)), (CLASSES, ("classes",)),
                                              ("CtfFind/job003", ("movies",))])
def test_a_final_job_is_refused_and_so_is_what_it_is_made_from(final, names) -> None:
    set_final(final)
    with pytest.raises(CryosnakeError, match=rf"^{final} .* is final.*`cryosnake mark \w+ not-final`"):
        forced(*names)
    assert keys(forced("later")) == BEFORE


def test_a_final_job_that_gets_a_number_beside_it_is_no_obstacle() -> None:
    set_final(GOOD)
    assert forced("classes").jobs["good"].path == "Select/job007"


def test_a_run_that_is_killed_goes_on_with_what_was_forced() -> None:
    plan = forced("ctf", "good")
    commit(plan)
    assert Path(done_file("CtfFind/job003", 1)).exists() and not read_done("CtfFind/job003", 1)
    assert read_done("MotionCorr/job002", 1)
    assert keys(plan_of(config())) == keys(plan) == BEFORE | {"ctf": SECOND, "good": "Select/job006"}


def names_of(folder: str = "", **request: Any) -> set[str]:
    return set(forced_jobs(parse_config(config()).jobs, Request(builds_dag=True, **request), folder,
                           lambda name: f"my_{name}"))


def test_rules_are_the_names_of_jobs() -> None:
    assert names_of(again=("my_motion", "my_ctf_join", "another")) == {"motion"}
    assert names_of(everything=True) == names_of(everything=True, targets=("my_all",)) == set(NAMES)
    assert names_of(everything=True, targets=("my_ctf",)) == {"movies", "motion", "ctf"}
    assert names_of(everything=True, targets=("my_ctf", "report.txt")) == set(NAMES)


def test_a_finished_file_can_only_be_made_again_with_its_job() -> None:
    with pytest.raises(CryosnakeError, match=rf"name the rule of {GOOD} instead, as in `snakemake -R my_movies`"):
        names_of(again=(f"{GOOD}/particles.star",))
    Path("above").mkdir()
    assert names_of("above", everything=True, targets=(f"{GOOD}/particles.star",)) == set(NAMES)
