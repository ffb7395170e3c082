"""Views about one axis: the depth of the maps is found from particles left out of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cryosnake.io.mrc import read_mrc
from cryosnake.jobs.refine3d import JOB
from cryosnake.numerics.refine.search.schedule import Sampling
from cryosnake.numerics.refine.sums.online import random_rotations
from cryosnake.numerics.views.relief import deepened, scaled_tilts
from cryosnake.programs.refine3d.depth import with_depth
from cryosnake.programs.refine3d.recipe import Refine3D
from cryosnake.programs.refinement.execution import execution_of
from cryosnake.programs.refinement.particles import read_particles
from cryosnake.programs.simulate import particles

Z = np.array([0.0, 0.0, 1.0])


def preferred(rng, count):
    """Return rot, tilt, psi in degrees (count, 3); most views are within 25 degrees of z, on both sides."""
    turns = rng.uniform(-180.0, 180.0, (2, count))
    lowest = np.where(np.arange(count) % 10 == 0, 0.0, np.cos(np.radians(25.0)))
    tilt = np.degrees(np.arccos(rng.uniform(lowest, 1.0) * rng.choice([-1, 1], count)))
    return np.stack([turns[0], tilt, turns[1]], 1)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Return a folder of particles, most of whose views are about z, with their true poses."""
    folder = tmp_path_factory.mktemp("depth")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(particles, "random_poses", preferred)
        particles.simulate_particles(folder, particles.StackSettings(
            count=300, box=24, pixel_size=9.0, snr=1.0, symmetry="C1", residues=240, seed=4))
    return folder


@pytest.fixture
def found(simulated, monkeypatch):
    """Return a function: by what tilts are multiplied in each half, if they are too large by a factor; None for not.

    The maps are too flat by that factor; poses (n, 3, 3) are the true ones unless given.
    """
    monkeypatch.chdir(simulated)
    options = JOB.options(particle_diameter=160.0)

    def search(factor, pose=None):
        if pose is None:
            pose = scaled_tilts(read_particles(Path("truth/particles.star")).poses(), Z, factor)
        with execution_of(Path("truth/particles.star"), options, Path("run")) as work:
            recipe = Refine3D(work, options, {"reference": Path("truth/map.mrc")}, Path("run"))
            model = recipe.start()
            flat = deepened(recipe.solvent * read_mrc("truth/map.mrc")[0], Z, 1 / factor)
            model = replace(model, volumes=[flat, flat], sampling=Sampling(4, 1.0, 0.5, 3.75), size=24,
                            ssnr=np.full_like(model.ssnr, 3.0),
                            assignments=replace(model.assignments, pose=pose))
            after = with_depth(recipe, model, recipe.solvent)
            if after is model:
                return None
            ratio = tangents(after.assignments.pose) / tangents(pose)
            return [float(np.median(ratio[rows])) for rows in recipe.sets(model)]

    return search


def tangents(pose):
    return np.linalg.norm(pose[:, 2, :2], axis=1) / np.abs(pose[:, 2, 2])


def test_tilts_that_are_too_large_or_too_small_are_noticed(found, capsys):
    larger, smaller = found(1.25), found(0.8)
    assert max(larger) < 0.95 and min(smaller) > 0.98 and min(smaller) - max(larger) > 0.1
    assert "Most views are about one axis: tilts from it times " in capsys.readouterr().out


def test_even_views_are_left_as_they_are(found, capsys):
    assert found(1.0, random_rotations(300, np.random.default_rng(1))) is None
    assert capsys.readouterr().out == ""
