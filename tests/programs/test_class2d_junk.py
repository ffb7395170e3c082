"""Junk rejection: false picks of three kinds among simulated particles end in classes that the ranking drops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cryosnake.io.mrc import read_mrc
from cryosnake.io.star import read_star
from cryosnake.jobs.class2d import JOB as CLASS2D
from cryosnake.jobs.select import JOB as SELECT
from cryosnake.programs.class2d import recipe as class2d
from cryosnake.programs.select import select
from cryosnake.programs.simulate.false_picks import BLOB, CONTAMINATION, EDGE, EMPTY, NEIGHBOUR
from cryosnake.programs.simulate.particles import StackSettings, simulate_particles


def options(job, **changed):
    return job.options(**changed)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """300 simulated picks, 60 of them false."""
    folder = tmp_path_factory.mktemp("junk")
    simulate_particles(folder, StackSettings(count=300, box=40, pixel_size=5.6, snr=0.2, symmetry="C1", residues=1500,
                                             false_picks=0.2, seed=1, prefix=f"{folder}/"))
    return folder


def test_false_picks_are_what_they_are_called(mixed):
    kind = read_star(mixed / "truth/particles.star")["particles"]["rlnClassNumber"].to_numpy()
    assert np.bincount(kind).tolist() == [240, 20, 20, 20]
    assert "rlnClassNumber" not in read_star(mixed / "particles.star")["particles"]
    images = read_mrc(mixed / "particles.mrcs")[0]
    y, x = np.mgrid[:40, :40] - 20
    inside = images[:, np.hypot(x, y) < 8].mean(1)
    assert abs(inside[kind == EMPTY].mean()) < 0.1
    assert inside[kind == 0].mean() > 3 * abs(inside[kind == NEIGHBOUR].mean())
    power = np.abs(np.fft.rfft2(images)) ** 2
    coarse = power[:, :3, :3].sum((1, 2)) - power[:, 0, 0]  # of the coarsest waves that a box holds
    assert np.median(coarse[kind == CONTAMINATION]) > 5 * np.median(coarse[kind == 0])


def test_edges_and_blobs(tmp_path: Path):
    simulate_particles(tmp_path, StackSettings(count=60, box=40, pixel_size=5.6, snr=10.0, symmetry="C1", residues=300,
                                               false_picks=0.5, false_pick_kinds=(EDGE, BLOB), seed=2))
    kind = read_star(tmp_path / "truth/particles.star")["particles"]["rlnClassNumber"].to_numpy()
    assert np.bincount(kind).tolist() == [30, 0, 0, 0, 15, 15]
    images = read_mrc(tmp_path / "particles.mrcs")[0]
    y, x = np.mgrid[:40, :40] - 20
    rim = [images[:, (np.abs(side - 16) < 4) & (np.hypot(x, y) < 20)].mean(1) for side in (x, -x, y, -y)]
    uneven = np.maximum(np.abs(rim[0] - rim[1]), np.abs(rim[2] - rim[3]))
    assert np.median(uneven[kind == EDGE]) > 3 * np.median(uneven[kind == BLOB])
    contrast = images[:, np.hypot(x, y) < 4].mean(1)
    assert (contrast[kind == BLOB] > 0.5 * np.median(contrast[kind == 0])).mean() > 0.8


def test_the_ranking_drops_false_picks_and_keeps_particles(mixed, tmp_path: Path):
    """At least 80 % of 20 % false picks are dropped, under 5 % of the particles lost (see benchmarks/class2d.py)."""
    for name in ("Class2D", "Select"):
        (tmp_path / name).mkdir()
    class2d.run(options(CLASS2D, classes=8, iterations=12, particle_diameter=180.0, method="em"),
                {"particles": mixed / "particles.star"}, tmp_path / "Class2D", lambda *_: None)
    root = tmp_path / "Class2D/run_it012"
    select.run(options(SELECT, minimum_score=0.5),
               {"particles": f"{root}_data.star", "model": f"{root}_model.star"}, tmp_path / "Select", lambda *_: None)
    truth = read_star(mixed / "truth/particles.star")["particles"].set_index("rlnImageName")["rlnClassNumber"]
    kept = truth.index.isin(read_star(tmp_path / "Select/particles.star")["particles"]["rlnImageName"])
    false = truth.to_numpy() > 0
    scores = read_star(f"{root}_data.star")["particles"]["cryosnakeParticleScore"].to_numpy()
    assert ((scores >= 0) & (scores <= 1)).all() and scores[truth == 0].mean() > scores[truth == NEIGHBOUR].mean() + 0.5
    assert (~kept[false]).mean() >= 0.8
    assert kept[~false].mean() > 0.95
