"""Particles that are in a file twice, by image or by place, and the half sets that must not share them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.star import write_star
from cryosnake.programs.refinement.particles import half_sets, read_particles
from cryosnake.programs.refinement.same_particles import doubled, first_at_place, first_of_image

OPTICS = pd.DataFrame([{"rlnOpticsGroup": 1, "rlnImagePixelSize": 1.5, "rlnImageSize": 64, "rlnVoltage": 300.0,
                        "rlnSphericalAberration": 2.7, "rlnAmplitudeContrast": 0.1}])


@pytest.mark.parametrize("again", ["1@a.mrcs", "0000000001@./a.mrcs", "000001@Extract/../a.mrcs", "01@{here}/a.mrcs"])
def test_an_image_in_two_spellings_is_refused(again: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["000001@a.mrcs", "000011@a.mrcs", "000001@b.mrcs", "000010@a.mrcs", again.format(here=tmp_path)]
    assert first_of_image(pd.Series(names)).tolist() == [0, 1, 2, 3, 0]
    table = pd.DataFrame({"rlnImageName": names, "rlnOpticsGroup": 1, "rlnDefocusU": 1e4, "rlnDefocusV": 1e4,
                          "rlnDefocusAngle": 0.0})
    write_star("p.star", {"optics": OPTICS, "particles": table})
    with pytest.raises(CryosnakeError, match=r"p\.star: 1 particle.*twice.*as 000001@a\.mrcs.*link the half sets"):
        read_particles("p.star")
    write_star("p.star", {"optics": OPTICS, "particles": table.iloc[:4]})
    assert len(read_particles("p.star")) == 4


PLACES = [("MotionCorr/job002/Movies/a.mrc", 100.2, 50.0), ("MotionCorr/job002/Movies/a.mrc", 101.0, 50.0),
          ("MotionCorr/job002/Movies/b.mrc", 100.2, 50.0), ("MotionCorr/job005/Movies/a.mrc", 100.0, 50.9),
          ("./MotionCorr/job002/Movies/b.mrc", 100.2, 50.0), ("MotionCorr/job002/Movies/a.mrc", 100.7, 50.3)]


def table(places: list[tuple[str, float, float]], **columns: object) -> pd.DataFrame:
    found = pd.DataFrame(places, columns=["rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY"])
    names = [f"{row + 1:06d}@Extract/job{7 if row < 3 else 9:03d}/a.mrcs" for row in range(len(places))]
    return found.assign(rlnImageName=names, rlnOpticsGroup=1, **columns)


def test_one_place_under_two_names() -> None:
    assert first_at_place(table(PLACES), None).tolist() == [0, 1, 2, 0, 2, 0]
    sizes = np.array([1.5, 1.5, 1.5, 3.0, 1.5, 1.5])  # pixels of a binned micrograph are others
    assert first_at_place(table(PLACES), sizes).tolist() == [0, 1, 2, 3, 2, 0]
    assert first_at_place(table(PLACES).drop(columns="rlnCoordinateX"), None).tolist() == list(range(6))
    nowhere = table([("a.mrc", float("nan"), 1.0)] * 3)
    assert first_at_place(nowhere, None).tolist() == [0, 1, 2]


def test_what_is_said_of_them() -> None:
    names = table(PLACES)["rlnImageName"]
    said = doubled(names, first_at_place(table(PLACES), None))
    assert said.startswith("WARNING: 3 particle(s) are cut at the same place") and "duplicate_distance" in said
    assert "000004@Extract/job009/a.mrcs, as 000001@Extract/job007/a.mrcs" in said
    assert doubled(names, np.arange(6)) == ""


@pytest.mark.parametrize("given", [None, [1, 2, 1, 2, 2, 1]])
@pytest.mark.parametrize("seed", range(4))
def test_half_sets_share_no_place(given: list[int] | None, seed: int, tmp_path: Path) -> None:
    columns = {} if given is None else {"rlnRandomSubset": given}
    write_star(tmp_path / "p.star", {"optics": OPTICS, "particles": table(PLACES, **columns)})
    half = half_sets(read_particles(tmp_path / "p.star", need_ctf=False), np.random.default_rng(seed))
    assert set(half) == {1, 2} and half[0] == half[3] == half[5] and half[2] == half[4]


def test_half_sets_of_particles_that_are_all_apart_are_as_before(tmp_path: Path) -> None:
    places = [("a.mrc", 20.0 * row, 5.0) for row in range(101)]
    write_star(tmp_path / "p.star", {"optics": OPTICS, "particles": table(places)})
    half = half_sets(read_particles(tmp_path / "p.star", need_ctf=False), np.random.default_rng(3))
    np.testing.assert_array_equal(half, 1 + np.random.default_rng(3).permutation(101) % 2)


def test_one_place_alone_makes_no_half_sets(tmp_path: Path) -> None:
    write_star(tmp_path / "p.star", {"optics": OPTICS, "particles": table([PLACES[0]] * 3)})
    with pytest.raises(CryosnakeError, match="needs at least one in each half set"):
        half_sets(read_particles(tmp_path / "p.star", need_ctf=False), np.random.default_rng(0))
