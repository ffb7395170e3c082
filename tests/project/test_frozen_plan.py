"""The plan that the jobs of a run on a cluster read in place of config.yaml."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.project import snakemake_internals
from cryosnake.project.config.config import parse_config
from cryosnake.project.planning import frozen_plan
from cryosnake.project.planning import rule_values as lookup
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.planning.planned import Disposition
from cryosnake.project.run import session

RAW = {
    "microscope": {"voltage": 300, "spherical_aberration": 2.7, "amplitude_contrast": 0.1, "pixel_size": 1.0,
                   "dose_per_frame": 1.0},
    "jobs": {"movies": {"type": "import", "movies": "Movies/*.mrcs", "settling_time": 0},
             "motion": {"type": "motioncorr", "movies": "movies", "patches": [3, 4]},
             "ctf": {"type": "ctffind", "micrographs": "motion"},
             "classes": {"type": "class2d", "particles": "particles.star", "classes": 5,
                         "particle_diameter": 100, "at_least": 10}},
}


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    import numpy as np

    from cryosnake.io.mrc import write_mrc

    Path("Movies").mkdir()
    write_mrc(Path("Movies/a.mrcs"), np.zeros((2, 8, 8), np.float32), 1.0, stack=True)
    Path("particles.star").touch()
    return make_plan(parse_config(RAW))


def test_it_comes_back_as_it_was_but_for_the_movies(plan) -> None:
    plan = replace(plan, gpu=True, pictures=False)
    back = frozen_plan.thaw(frozen_plan.freeze(plan))
    assert back.gpu and not back.pictures
    assert back.jobs == {name: replace(job, movies={}) for name, job in plan.jobs.items()}
    assert lookup.arguments(back, "MotionCorr/job002", "0001") == lookup.arguments(plan, "MotionCorr/job002", "0001")
    assert back.jobs["classes"].why_held == plan.jobs["classes"].why_held != ""


def test_every_field_of_a_job_comes_back(plan) -> None:
    motion = plan.jobs["motion"]
    filled = {"new": True, "batches": {1: "0001.r2"}, "disposition": Disposition.HELD, "why_held": "waits",
              "supersedes": "MotionCorr/job001", "growth": "1 -> 2 rows",
              "again": {1: "0001.again1"}, "needs": {"0001": ("a.mrc", "b.mrc"), "": ("c.star",)}}
    for_start = {"movies", "waiting", "forced", "choice", "decision"}
    known = {"config", "path", "inputs", "stream"} | for_start
    assert {field.name for field in fields(motion)} == known | filled.keys()  # a new field must be kept, too
    changed = replace(plan, jobs={**plan.jobs, "motion": replace(motion, **filled)})
    assert frozen_plan.thaw(frozen_plan.freeze(changed)).jobs["motion"] == replace(motion, **filled, movies={})


def test_equal_plans_share_a_file(plan) -> None:
    assert frozen_plan.freeze(plan) == frozen_plan.freeze(plan)
    assert frozen_plan.freeze(plan) != frozen_plan.freeze(replace(plan, gpu=True))
    assert len(list(frozen_plan.FOLDER.iterdir())) == 2


def test_a_job_reads_neither_config_nor_project(plan, monkeypatch) -> None:
    path = frozen_plan.freeze(plan)
    Path("config.yaml").write_text("jobs: [")
    config = {frozen_plan.KEY: path}
    assert session.brings_jobs(config) and not session.brings_jobs({})
    monkeypatch.setattr(snakemake_internals, "module_folder", lambda workflow: "")
    monkeypatch.setattr(snakemake_internals, "command_line_config", lambda workflow: config)
    assert session.open_project(None, {}).jobs.keys() == plan.jobs.keys()


def test_a_module_with_a_prefix_has_a_plan_of_its_own(plan, monkeypatch) -> None:
    path = frozen_plan.freeze(replace(plan, folder="em/first"))
    assert path.startswith("em/first/.cryosnake") and frozen_plan.key_of("em/first") == "frozen_plan_em_first"
    found = frozen_plan.thaw(path.removeprefix("em/first/"))
    assert found.folder == "em/first" and " --project em/first " in f" {lookup.arguments(found, 'CtfFind/job003')}"


def test_a_plan_that_is_not_there_is_explained(plan) -> None:
    with pytest.raises(CryosnakeError, match="the project's folder must be the same on"):
        frozen_plan.thaw(".cryosnake/plans/none.json")
    path = Path(frozen_plan.freeze(plan))
    path.write_text(path.read_text().replace('"motioncorr"', '"othertype"'))
    with pytest.raises(CryosnakeError, match="install the same version, with the same job types"):
        frozen_plan.thaw(str(path))
