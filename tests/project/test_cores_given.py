"""Cores: how many a job takes of those that a call was given, and into how many batches new movies are divided."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cryosnake.io.mrc import write_mrc
from cryosnake.project import snakemake_internals
from cryosnake.project.config.config import parse_config
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.planning.rule_values import threads
from cryosnake.project.records.batches import batch_star, form_batches, read_manifest
from cryosnake.project.run.commit import commit

RAW = {
    "microscope": {"voltage": 300, "spherical_aberration": 2.7, "pixel_size": 1.0, "dose_per_frame": 1.2},
    "batch_size": 10,
    "jobs": {
        "movies": {"type": "import", "movies": "Movies/*.mrcs", "settling_time": 0},
        "motion": {"type": "motioncorr", "movies": "movies"},
        "ctf": {"type": "ctffind", "micrographs": "motion"},
        "classes": {"type": "class2d", "particles": "p.star", "classes": 2, "particle_diameter": 100},
        "refined": {"type": "refine3d", "particles": "p.star", "reference": "map.mrc", "particle_diameter": 100,
                    "mpi_ranks": 2},
    },
}


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("p.star", "map.mrc"):
        Path(name).write_text("")
    add_movies(24)


def add_movies(count):
    Path("Movies").mkdir(exist_ok=True)
    have = len(list(Path("Movies").iterdir()))
    for number in range(have, have + count):
        write_mrc(f"Movies/m{number:03d}.mrcs", np.zeros((2, 8, 8), np.float32), 1.0, stack=True)


def plan_of(cores=1, **changed):
    return replace(make_plan(parse_config(RAW | changed), at_once=cores), cores=cores)


def sizes(plan):
    return [len(names) for names in plan.jobs["movies"].movies.values()]


@pytest.mark.parametrize(("waiting", "at_once", "expected"), [
    (24, 1, [10, 10, 4]), (24, 2, [10, 10, 4]), (24, 3, [8, 8, 8]), (24, 5, [5, 5, 5, 5, 4]), (24, 100, [4] * 6),
    (3, 8, [3]), (0, 8, [])])
def test_new_movies_are_divided_among_the_cores(waiting, at_once, expected):
    movies = [f"m{number}" for number in range(waiting)]
    batches = form_batches({}, movies, 10, at_once=at_once)
    assert [len(names) for names in batches.values()] == expected
    assert [name for names in batches.values() for name in names] == movies


def test_a_full_batch_is_divided_and_the_rest_waits():
    assert [len(names) for names in form_batches({}, ["m"] * 13, 10, full_only=True, at_once=2).values()] == [5, 5]
    assert not form_batches({}, ["m"] * 9, 10, full_only=True, at_once=2)


def test_small_batches_stay_as_small_as_the_config_says():
    assert [len(names) for names in form_batches({}, ["m"] * 5, 2, at_once=16).values()] == [2, 2, 1]


def test_sealed_batches_stay_whatever_cores_there_are():
    plan = plan_of(6)
    assert sizes(plan) == [4] * 6
    commit(plan)
    assert read_manifest("Import/job001") == plan.jobs["movies"].movies
    for cores in (1, 2, 16):
        assert sizes(plan_of(cores)) == [4] * 6
    add_movies(12)
    assert sizes(plan_of(1)) == [4] * 6 + [10, 2] and sizes(plan_of(2)) == [4] * 6 + [6, 6]


def test_long_jobs_take_all_cores_up_to_what_they_make_use_of():
    for cores, classes, refined in ((0, 2, 4), (1, 2, 4), (16, 16, 16), (17, 17, 16), (500, 32, 64)):
        plan = plan_of(cores or 1)
        plan = replace(plan, cores=cores)
        assert threads(plan, plan.jobs["classes"]) == classes  # Snakemake lowers it to the cores that there are
        assert threads(plan, plan.jobs["refined"]) == refined  # a multiple of its ranks


def test_batches_share_the_cores():
    plan = plan_of(16)  # of 24 movies: six batches
    assert [threads(plan, plan.jobs[name]) for name in ("movies", "motion", "ctf")] == [1, 2, 2]
    commit(plan)
    for key in list(plan.jobs["motion"].batches.values())[1:]:
        Path(batch_star(plan.jobs["motion"].path, key)).write_text("x")
    assert threads(plan_of(16), plan_of(16).jobs["motion"]) == 8  # one is left, and more threads are of no use


def test_jobs_on_gpus_and_on_other_computers_take_what_their_type_says():
    plan = plan_of(16)
    assert threads(replace(plan, gpu=True), plan.jobs["classes"]) == 2
    assert threads(replace(plan, cores=0), plan.jobs["classes"]) == 2


@pytest.mark.parametrize(("cores", "nodes", "given", "at_once"), [
    (16, None, 16, 16), (None, 40, 0, 40), (1, 40, 0, 40), (None, None, 0, 1), (None, 2**63 - 1, 0, 1)])
def test_jobs_stands_for_cores_with_an_executor(cores, nodes, given, at_once):
    workflow = SimpleNamespace(resource_settings=SimpleNamespace(cores=cores, nodes=nodes))
    assert snakemake_internals.cores_given(workflow) == given
    assert snakemake_internals.jobs_at_once(workflow) == at_once
