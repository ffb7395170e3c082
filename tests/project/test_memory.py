"""The memory that a refinement asks for follows box, maps and ranks."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryosnake.jobs.registry import job_types
from cryosnake.project.config.config import JobConfig
from cryosnake.project.planning.memory import memory_mb, particle_box
from cryosnake.project.planning.planned import Plan, PlannedJob, Source

STAR = """
data_optics

loop_
_rlnOpticsGroup #1
_rlnImagePixelSize #2
_rlnImageSize #3
1 1.77 {box}

data_particles

loop_
_rlnImageName #1
1@a.mrcs
"""


def job(name: str, path: str, source: Source, **stated) -> PlannedJob:
    return PlannedJob(config=JobConfig(name, job_types()[name], stated, {}), path=path, inputs={"particles": source},
                      new=True)


@pytest.fixture
def refine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def with_box(box: int, name: str = "refine3d", **stated) -> PlannedJob:
        Path("particles.star").write_text(STAR.format(box=box))
        return job(name, "Refine3D/job001", Source("particles.star"), **stated)

    return with_box


def test_it_grows_with_the_volume(refine) -> None:
    small, large = (memory_mb(Plan({}), refine(box), 1, 8) for box in (128, 256))
    fixed = 1.5 * (1500 + 540)
    assert (large - fixed) / (small - fixed) == pytest.approx(8, rel=0.1)
    assert 12000 < large < 20000  # what the job type states for a box that is not known


def test_threads_count_up_to_a_bound(refine) -> None:
    one, two, many, more = (memory_mb(Plan({}), refine(96), 1, threads) for threads in (1, 2, 64, 128))
    assert one < two < many == more


def test_half_maps_on_different_ranks_are_held_once(refine) -> None:
    one, two, three = (memory_mb(Plan({}), refine(256), ranks, 2 * ranks) for ranks in (1, 2, 3))
    assert one < two < 2 * one and three - two > two - one


def test_classes_count(refine) -> None:
    two, eight = (memory_mb(Plan({}), refine(128, "class3d", classes=classes), 1, 1) for classes in (2, 8))
    assert eight - two == pytest.approx(1.5 * 6 * 4 * 128**3 * (20 + 12) / 1e6, rel=0.1)


def test_the_box_is_that_of_the_job_that_will_extract(refine) -> None:
    extract = job("extract", "Extract/job005", Source("none.star"), box_size=400, rescale=200)
    chosen = job("class2d", "Class2D/job006", Source("Extract/job005/particles.star", "Extract/job005", "particles"))
    later = job("refine3d", "Refine3D/job007", Source("Class2D/job006/run_it025_data.star", "Class2D/job006", "x"))
    plan = Plan({"extract": extract, "classes": chosen, "refine": later})
    assert particle_box(plan, later) == 200


def test_without_a_box_it_is_the_job_types(refine) -> None:
    unknown = job("refine3d", "Refine3D/job001", Source("none.star"))
    assert memory_mb(Plan({}), unknown, 2, 4) == 2 * job_types()["refine3d"].resources.mem_mb
    Path("particles.star").write_text("data_particles\n\nloop_\n_rlnImageName #1\n1@a.mrcs\n")
    assert particle_box(Plan({}), job("refine3d", "x", Source("particles.star"))) == 0
