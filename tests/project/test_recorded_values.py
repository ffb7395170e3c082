"""Values of the config that headers of movies, or the microscope's records beside them, contradict are said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from acquisition_records import epu, mdoc

from cryosnake.io.mrc import write_mrc
from cryosnake.project.config.config import parse_config
from cryosnake.project.planning.before_run import doubts
from cryosnake.project.planning.image_sizes import images_of
from cryosnake.project.planning.plan import make_plan
from cryosnake.project.planning.planned import Plan

RIGHT = {"voltage": 300, "spherical_aberration": 2.7, "pixel_size": 0.83, "dose_per_frame": 1.25}
SIDE = 40


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("Movies").mkdir()
    for name in ("g1_0001", "g1_0002"):
        movie(f"Movies/{name}.mrc")


def movie(name: str, pixel_size: float = 0.0) -> None:
    write_mrc(name, np.zeros((3, SIDE, SIDE), np.int8), pixel_size, stack=True)
    os.utime(name, (1e9, 1e9))


def plan_of(pattern: str = "Movies/*.mrc", jobs: dict[str, Any] | None = None, **changes: Any) -> Plan:
    usual = {"movies": {"type": "import", "movies": pattern}, "motion": {"type": "motioncorr", "movies": "movies"}}
    return make_plan(parse_config({"microscope": RIGHT | changes, "jobs": jobs or usual}))


def said(**changes: Any) -> list[str]:
    return doubts(plan_of(**changes))


@pytest.mark.parametrize(("changes", "line"), [
    ({"voltage": 200}, "movies: voltage is 200 kV, and {} says 300 kV"),
    ({"voltage": 120}, "movies: voltage is 120 kV, and {} says 300 kV"),
    ({"pixel_size": 0.89}, "movies: pixel_size is 0.89 Å, and {} says 0.83 Å; one of them is wrong"),
    ({"pixel_size": 0.78}, "movies: pixel_size is 0.78 Å, and {} says 0.83 Å; one of them is wrong"),
    ({"pixel_size": 1.66}, "movies: pixel_size is 1.66 Å, and {} says 0.83 Å; a factor of 2, as between super-res"),
    ({"pixel_size": 0.415}, "movies: pixel_size is 0.415 Å, and {} says 0.83 Å; a factor of 2, as between super-res"),
    ({"dose_per_frame": 50}, "motion: dose_per_frame is 50 e/Å², and {} says 1.25 e/Å² (50 in 40 frames)"),
    ({"dose_per_frame": 0.4}, "motion: dose_per_frame is 0.4 e/Å², and {} says 1.25 e/Å² (50 in 40 frames)"),
    ({"dose_per_frame": 3.9}, "motion: dose_per_frame is 3.9 e/Å², and {} says 1.25 e/Å² (50 in 40 frames)"),
    ({"spherical_aberration": 0.01}, "movies: spherical_aberration is 0.01 mm, and {} says 2.7 mm"),
    ({"spherical_aberration": 2.0}, "movies: spherical_aberration is 2 mm, and {} says 2.7 mm"),
    ({"spherical_aberration": 0}, "movies: spherical_aberration is 0 mm, and {} says 2.7 mm"),
])
def test_a_wrong_value_is_said_once(changes: dict[str, float], line: str) -> None:
    Path("Movies/g1_0001.mrc.mdoc").write_text(mdoc(SphericalAberration="2.7"))
    (found,) = said(**changes)
    assert found.startswith(line.format("Movies/g1_0001.mrc.mdoc"))


def test_values_of_epu_are_compared_too() -> None:
    movie("Movies/F_1_Fractions.mrc")
    Path("Movies/F_1.xml").write_text(epu(pixel="8.3e-11", dose="5e21", fractions=40, width=SIDE))
    assert not said()
    lines = said(voltage=200, pixel_size=1.1, dose_per_frame=12.5)
    assert [line.partition(" is ")[0] for line in lines] == ["movies: voltage", "movies: pixel_size",
                                                             "motion: dose_per_frame"]
    assert all("and Movies/F_1.xml says" in line for line in lines)


@pytest.mark.parametrize("changes", [
    {}, {"pixel_size": 0.80}, {"pixel_size": 0.87}, {"spherical_aberration": 2.62}, {"dose_per_frame": 3.7},
    {"dose_per_frame": 0.42}, {"voltage": 297},
])
def test_values_that_are_near_are_right(changes: dict[str, float]) -> None:
    Path("Movies/g1_0001.mrc.mdoc").write_text(mdoc(SphericalAberration="2.7"))
    assert not said(**changes)


@pytest.mark.parametrize("text", [
    "", "Voltage", mdoc(voltage="Voltage = 0", PixelSpacing="1e9", FrameDosesAndNumber="0 40"), "\0" * 100, "[Frame",
    mdoc(voltage="", PixelSpacing="", FrameDosesAndNumber="1.25", NumSubFrames="")])
def test_records_that_say_nothing_and_damaged_ones_are_passed_over(text: str) -> None:
    Path("Movies/g1_0001.mrc.mdoc").write_text(text)
    assert not said(voltage=200, pixel_size=1.5, dose_per_frame=30)


def test_the_record_of_a_later_movie_is_taken_where_the_first_has_none() -> None:
    Path("Movies/g1_0002.mdoc").write_text(mdoc())
    assert len(said(voltage=200)) == 1


def test_movies_of_super_resolution_have_half_the_pixels_that_epu_states() -> None:
    movie("Movies/F_1_Fractions.mrc")
    Path("Movies/F_1.xml").write_text(epu(pixel="1.66e-10", width=SIDE // 2))
    assert not said(pixel_size=0.83)
    (line,) = said(pixel_size=1.66)
    assert "Movies/F_1.xml says 0.83 Å; a factor of 2" in line


def test_pixel_sizes_of_header_and_record_are_said_once() -> None:
    movie("Movies/g1_0001.mrc", 0.83)
    Path("Movies/g1_0001.mrc.mdoc").write_text(mdoc())
    (line,) = said(pixel_size=0.9)
    assert "the header of Movies/g1_0001.mrc says 0.83 Å" in line


def test_micrographs_may_be_binned() -> None:
    Path("Movies/g1_0001.mrc.mdoc").write_text(mdoc())
    jobs = {"micrographs": {"type": "import", "micrographs": "Movies/*.mrc"}}
    assert not said(jobs=jobs, pixel_size=1.66)
    assert len(said(jobs=jobs, voltage=200, pixel_size=1.66)) == 1


def eer(name: str) -> None:
    text = b'<metadata><item name="sensorPixelSize.width" unit="m">7.2e-11</item></metadata>'
    tifffile.imwrite("m.tif", np.ones((64, 64), np.uint8), extratags=[(65001, 7, len(text), text, True)])
    os.rename("m.tif", name)
    os.utime(name, (1e9, 1e9))


@pytest.mark.parametrize(("upsampling", "pixel_size", "side"), [(1, 0.72, 64), (2, 0.36, 128), (3, 0.18, 256)])
def test_pixels_of_eer_are_stated_as_they_are_upsampled(upsampling: int, pixel_size: float, side: int) -> None:
    """3 stands for a quarter of the detector's pixels."""
    eer("Movies/a.eer")
    motion = {"type": "motioncorr", "movies": "movies", "eer_upsampling": upsampling}
    picks = {"type": "autopick", "micrographs": "motion", "diameter": [10, 11]}
    jobs = {"movies": {"type": "import", "movies": "Movies/*.eer"}, "motion": motion, "picks": picks}
    plan = plan_of(jobs=jobs, pixel_size=pixel_size)
    assert not doubts(plan) and images_of(plan, plan.jobs["picks"], "micrographs").side == side
    assert len(doubts(plan_of(jobs=jobs, pixel_size=0.8))) == 1


def test_doses_of_eer_are_those_of_groups_of_frames() -> None:
    eer("Movies/a.eer")
    frames = {"FrameDosesAndNumber": "0.03 1600", "NumSubFrames": "1600"}
    Path("Movies/a.eer.mdoc").write_text(mdoc(PixelSpacing="0.72", **frames))
    assert not said(pattern="Movies/*.eer", pixel_size=0.72, dose_per_frame=1.2)
    (line,) = said(pattern="Movies/*.eer", pixel_size=0.72, dose_per_frame=12)
    assert "dose_per_frame is 12 e/Å², and Movies/a.eer.mdoc says 1.2 e/Å² (48 in 1600 frames)" in line
