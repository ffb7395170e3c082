"""Symmetry expansion beside RELION's, back, and refinement and classification of the copies."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.io.star import read_star, write_star
from cryosnake.jobs.class3d import JOB as CLASS3D
from cryosnake.jobs.options import SelectOptions
from cryosnake.jobs.refine3d import JOB as REFINE3D
from cryosnake.numerics.fsc import fsc
from cryosnake.numerics.refine.grids.images import soft_disc
from cryosnake.programs.class3d import recipe as class3d
from cryosnake.programs.refine3d import recipe as refine3d
from cryosnake.programs.refinement.particles import read_particles
from cryosnake.programs.select import select
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles

BOX, PIXEL, COUNT = 32, 6.0, 60


def nothing(*_: object) -> None:
    pass


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("expansion")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        simulate_particles(".", StackSettings(count=COUNT, box=BOX, pixel_size=PIXEL, snr=0.1, shift=4.0))
        tables = read_star("truth/particles.star")
        write_star("posed.star", {**tables, "particles": tables["particles"].assign(
            rlnRandomSubset=1 + np.arange(COUNT) % 2)})
        write_mrc("mask.mrc", soft_disc(BOX, 12.0, 3.0, dimensions=3), PIXEL)
        choose("posed.star", "expanded", expand_symmetry="D2")
    return folder


@pytest.fixture(autouse=True)
def there(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


def choose(particles: str, out: str, **options: Any) -> pd.DataFrame:
    Path(out).mkdir(exist_ok=True)
    select.run(SelectOptions(**options), {"particles": particles}, out, nothing)
    return read_star(f"{out}/particles.star")["particles"]


def test_copies_are_relions_and_go_back(relion: Path) -> None:
    before = read_star("posed.star")["particles"]
    words = ["--i", "posed.star", "--o", "theirs.star", "--sym", "D2"]
    subprocess.run([relion / "relion_particle_symmetry_expand", *words], check=True, capture_output=True, timeout=60)
    ours, theirs = read_particles("expanded/particles.star"), read_particles("theirs.star")
    assert ours.table["rlnImageName"].tolist() == theirs.table["rlnImageName"].tolist()
    apart = np.abs(ours.poses().reshape(COUNT, 4, 1, 9) - theirs.poses().reshape(COUNT, 1, 4, 9)).max(-1)
    assert apart.min(2).max() < 1e-4 and apart.min(1).max() < 1e-4
    pd.testing.assert_frame_equal(choose("expanded/particles.star", "back", remove_copies=True), before)


def classified(particles: str) -> float:
    """Return the mean FSC with the truth of the map of all particles at their poses, without symmetry."""
    Path("out").mkdir(exist_ok=True)
    options = CLASS3D.options(classes=1, particle_diameter=150.0, iterations=1, align=False, initial_lowpass=30.0)
    class3d.run(options, {"particles": particles, "reference": "reference.mrc", "mask": "mask.mrc"}, "out", nothing)
    found = fsc(read_mrc("out/run_it001_class001.mrc")[0], read_mrc("truth/map.mrc")[0])
    return float(found[1:12].mean())


def test_a_classification_at_the_copies_poses_sees_the_symmetry() -> None:
    assert classified("expanded/particles.star") > classified("posed.star") + 0.02


def test_copies_of_a_particle_stay_in_one_half_set(capsys: pytest.CaptureFixture[str]) -> None:
    """In a refinement by local searches inside a mask, also where half sets are chosen at random."""
    tables = read_star("expanded/particles.star")
    Path("refined").mkdir(exist_ok=True)
    write_star("unset.star", {**tables, "particles": tables["particles"].drop(columns="rlnRandomSubset")})
    options = REFINE3D.options(particle_diameter=150.0, initial_lowpass=30.0, sampling="1.8 degrees",
                               local_sampling="1.8 degrees", offset_range=3.0)
    refine3d.run(options, {"particles": "unset.star", "reference": "reference.mrc", "mask": "mask.mrc"}, "refined",
                 nothing)
    found = read_star("refined/run_data.star")["particles"]
    assert "cut at the same place" not in capsys.readouterr().out
    assert (found.groupby("rlnImageName")["rlnRandomSubset"].nunique() == 1).all()
    assert found["rlnRandomSubset"].nunique() == 2
    curve = fsc(read_mrc("refined/run_class001.mrc")[0], read_mrc("truth/map.mrc")[0])
    assert curve[1:10].mean() > 0.8


@pytest.mark.parametrize(("columns", "said"), [
    ({"rlnRandomSubset": 1 + np.arange(4 * COUNT) % 2}, "in both half sets"),
    ({"rlnAngleRot": 10.0, "rlnAngleTilt": 20.0, "rlnAnglePsi": 30.0}, "appear twice"),
])
def test_copies_that_would_link_the_half_sets_are_refused(columns: dict[str, Any], said: str) -> None:
    tables = read_star("expanded/particles.star")
    write_star("bad.star", {**tables, "particles": tables["particles"].assign(**columns)})
    with pytest.raises(CryosnakeError, match=said):
        read_particles("bad.star")


@pytest.mark.parametrize(("particles", "options", "said"), [
    ("expanded/particles.star", {"expand_symmetry": "C2"}, "copies of particles already"),
    ("posed.star", {"expand_symmetry": "C2", "split_count": 2}, "split first"),
    ("particles.star", {"expand_symmetry": "C2"}, "no column rlnAngleRot"),
])
def test_what_cannot_be_expanded_is_refused(particles: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(CryosnakeError, match=said):
        choose(particles, "refused", **options)
