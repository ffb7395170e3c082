"""Maps and masks of any box and pixel size, for particles and half maps; what makes no sense is refused."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import write_mrc
from cryosnake.io.star import write_star
from cryosnake.jobs.refine3d import JOB
from cryosnake.numerics.alignment import Alignment, transform_map
from cryosnake.numerics.fsc import fsc
from cryosnake.numerics.map_resample import refit_map
from cryosnake.numerics.symmetry import operators, rotation_about
from cryosnake.programs.maps.fitted_maps import Grid, fitted_mask
from cryosnake.programs.refinement.reference_maps import read_reference, reference_names

GRID = Grid(48, 4.0, "the particles of p.star")
PARTICLES = SimpleNamespace(box=48, pixel_size=4.0, path="p.star", shell_at=lambda resolution: int(192 / resolution))


def read(name, symmetry="C1"):
    return read_reference(name, PARTICLES, JOB.options(particle_diameter=120.0, initial_lowpass=15.0,
                                                       symmetry=symmetry))


@pytest.fixture(autouse=True)
def in_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def ball(box, pixel_size, radius, edge=12.0):
    axis = ((np.arange(box) - box // 2) * pixel_size) ** 2
    distance = np.sqrt(axis[:, None, None] + axis[:, None] + axis)
    return np.clip((radius + edge - distance) / edge, 0.0, 1.0).astype(np.float32)


def density(box=48, pixel_size=4.0):
    noise = np.random.default_rng(2).standard_normal((20,) * 3)
    return refit_map(noise, 9.6, box, pixel_size) * ball(box, pixel_size, 50.0)


@pytest.mark.parametrize(("box", "pixel_size"), [(64, 3.0), (40, 4.0), (120, 2.0), (37, 4.63)])
def test_a_reference_of_any_box_and_pixel_size_is_the_same_reference(box, pixel_size, capsys):
    write_mrc("here.mrc", density(), 4.0)
    write_mrc("there.mrc", density(box, pixel_size), pixel_size)
    here, there = (read(name) for name in ("here.mrc", "there.mrc"))
    said = capsys.readouterr().out
    assert said == (f"there.mrc: the reference, {box} voxels of {pixel_size:g} Å, is resampled to the 48 of 4 Å of the "
                    "particles of p.star\n")
    assert there.shape == (48, 48, 48) and fsc(here, there)[:12].min() > 0.99
    # in projections, which sum over voxels, it is as strong as before
    assert np.linalg.norm(there) * pixel_size / 4.0 == pytest.approx(np.linalg.norm(here), rel=0.05)


@pytest.mark.parametrize(("volume", "pixel_size", "message"), [
    (density(), 3.0, r"r.mrc: the reference has 3 Å per voxel, the particles of p.star 4 Å, both in a box of 48.*"
                     r"maptool job \(map: r.mrc, pixel_size: 4\)"),
    (density(64, 4.0), 1.0, "64 Å wide, the particle 120 Å.*maptool job"),
    (density(64, 4.0), 0.0, "64 voxels wide and does not give its pixel size.*48 wide"),
    (density(64, 4.0)[:40], 4.0, "not a cubic map"),
    (0 * density(64, 4.0), 4.0, "zero everywhere")])
def test_references_that_make_no_sense_are_refused(volume, pixel_size, message):
    write_mrc("r.mrc", volume, pixel_size)
    with pytest.raises(CryosnakeError, match=message):
        read("r.mrc")


def test_a_reference_without_the_symmetry_is_said(capsys):
    turned = sum(transform_map(density(), Alignment(rotation, np.zeros(3), False, 1.0)) for rotation in operators("D2"))
    write_mrc("d2.mrc", turned, 4.0)
    write_mrc("off.mrc", transform_map(turned, Alignment(rotation_about((1, 1, 0), 40), np.zeros(3), False, 1.0)), 4.0)
    for name, symmetry, said in (("d2.mrc", "D2", ""), ("d2.mrc", "C1", ""), ("off.mrc", "D2", "D2 about its axes"),
                                 ("d2.mrc", "C5", r"d2.mrc does not have the symmetry C5")):
        read(name, symmetry)
        assert said in (printed := capsys.readouterr().out) and bool(said) == ("maptool job (symmetry" in printed)


def test_a_mask_of_another_box_is_the_same_mask(capsys):
    write_mrc("mask.mrc", ball(64, 5.0, 55.0), 5.0)
    np.testing.assert_allclose(fitted_mask("mask.mrc", GRID), ball(48, 4.0, 55.0), atol=0.25)
    assert "mask.mrc: the mask, 64 voxels of 5 Å, is resampled to the 48 of 4 Å" in capsys.readouterr().out


@pytest.mark.parametrize(("mask", "pixel_size", "message"), [
    (ball(24, 4.0, 60.0), 4.0, "reaches the faces of its box, 96 Å wide.*192 Å of the particles of p.star"),
    (ball(96, 4.0, 120.0), 4.0, "keeps density outside the 192 Å.*would be cut"),
    (0.3 * ball(64, 3.0, 60.0), 3.0, "empty mask"),
    (3.0 * ball(64, 3.0, 60.0), 3.0, "not a mask: its values")])
def test_masks_that_would_cut_the_particle_are_refused(mask, pixel_size, message):
    write_mrc("mask.mrc", mask, pixel_size)
    with pytest.raises(CryosnakeError, match=message):
        fitted_mask("mask.mrc", GRID)


def test_maps_of_a_list_that_contradict_each_other_are_refused():
    for name, pixel_size in (("a.mrc", 4.0), ("b.mrc", 1.0)):
        write_mrc(name, density(), pixel_size)
    write_star("list.star", {"": pd.DataFrame({"rlnReferenceImage": ["a.mrc", "b.mrc"]})})
    with pytest.raises(CryosnakeError, match=r"list.star: a.mrc has 4 Å per voxel and b.mrc 1 Å, both in a box of 48"):
        reference_names("list.star", 2)
