"""MapTool: a map, its half maps and its mask are changed alike, and what later jobs take fits together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cryosnake.errors import CryosnakeError
from cryosnake.io.mrc import read_mrc, write_mrc
from cryosnake.jobs.maptool import JOB
from cryosnake.numerics.alignment import Alignment, mirror, transform_map
from cryosnake.numerics.euler import euler_to_matrix
from cryosnake.numerics.filters import low_pass
from cryosnake.numerics.fsc import fsc
from cryosnake.numerics.map_resample import refit_map
from cryosnake.numerics.symmetry import operators
from cryosnake.programs.maps import maptool
from cryosnake.programs.maps.postprocess_inputs import read_halves, read_mask
from cryosnake.report.job_pictures import draw_pictures

BOX, PIXEL = 36, 5.0
ALL = {"map": "run_class001.mrc", "half_maps": "run_half1_class001_unfil.mrc", "mask": "given_mask.mrc"}


def ball(radius, box=BOX):
    axis = (np.arange(box) - box // 2) ** 2
    return np.clip(radius + 3 - np.sqrt(axis[:, None, None] + axis[:, None] + axis), 0, 3).astype(np.float32) / 3


def blobs(group="D2", count=6):
    rng = np.random.default_rng(1)
    places = (operators(group) @ rng.uniform(-7, 7, (count, 3)).T).transpose(0, 2, 1).reshape(-1, 3)
    axis = np.arange(BOX) - BOX // 2
    return sum(np.einsum("i,j,k->kji", *(np.exp(-0.5 * ((axis - c) / 1.6) ** 2) for c in place))
               for place in places).astype(np.float32)


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(5)
    halves = [blobs() + 0.1 * rng.standard_normal((BOX,) * 3).astype(np.float32) for _ in range(2)]
    for number, half in enumerate(halves, 1):
        write_mrc(f"run_half{number}_class001_unfil.mrc", half, PIXEL)
    write_mrc("run_class001.mrc", 0.5 * (halves[0] + halves[1]), PIXEL)
    write_mrc("given_mask.mrc", ball(12), PIXEL)
    return tmp_path


def change(inputs, **options):
    maptool.run(JOB.options(**options), inputs, ".", lambda *_: None)


def test_hand_box_and_pixel_size_change_in_map_half_maps_and_mask_alike(capsys):
    change(ALL, flip_hand=True, new_pixel_size=3.0, box=64, apply_mask=False)
    for name, source in (("map.mrc", ALL["map"]), ("half1_map.mrc", ALL["half_maps"]),
                         ("half2_map.mrc", "run_half2_class001_unfil.mrc")):
        volume, pixel = read_mrc(name)
        assert pixel == pytest.approx(3.0)
        np.testing.assert_allclose(volume, refit_map(mirror(read_mrc(source)[0]), PIXEL, 64, 3.0), atol=1e-6)
    assert "36 voxels of 5 Å become 64 of 3 Å" in capsys.readouterr().out
    halves = read_halves("half2_map.mrc", None)  # as PostProcess reads them, with the mask
    mask = read_mask("mask.mrc", halves, None)
    assert mask.sum() * 3.0**3 == pytest.approx(ball(12).sum() * PIXEL**3, rel=0.02)
    assert "resampled" not in capsys.readouterr().out
    draw_pictures(JOB.panels, Path(), {})
    assert Path("changed_map.png").stat().st_size > 5000


def test_contrast_filter_and_mask():
    change({"map": ALL["map"], "mask": ALL["mask"]}, invert=True, low_pass=20.0)
    expected = low_pass(-read_mrc(ALL["map"])[0], 20.0, PIXEL) * ball(12)
    np.testing.assert_allclose(read_mrc("map.mrc")[0], expected, atol=1e-5)
    np.testing.assert_allclose(read_mrc("mask.mrc")[0], ball(12), atol=1e-6)


@pytest.mark.parametrize(("combine", "factor"), [("average", 0.5), ("add", 1.0)])
def test_a_second_map_of_another_box_is_joined_with_the_first(combine, factor):
    write_mrc("second.mrc", refit_map(blobs("C1"), PIXEL, 80, 2.5), 2.5)
    change({"map": ALL["map"], "second": "second.mrc"}, combine=combine)
    np.testing.assert_allclose(read_mrc("map.mrc")[0], factor * (read_mrc(ALL["map"])[0] + blobs("C1")), atol=0.02)


def test_a_map_is_turned_onto_its_symmetry_axes(capsys):
    away = Alignment(euler_to_matrix(40.0, 65.0, 10.0), np.array([1.0, -1.5, 0.5]), False, 1.0)
    turned = transform_map(blobs(), away)
    write_mrc("turned.mrc", turned, PIXEL)
    write_mrc("turned_mask.mrc", transform_map(blobs() > 0.2, away, order=1), PIXEL)
    change({"map": "turned.mrc", "mask": "turned_mask.mrc"}, symmetry="D2", apply_mask=False)
    found, mask = read_mrc("map.mrc")[0], read_mrc("mask.mrc")[0]
    for rotation in operators("D2")[1:]:
        copy = transform_map(found, Alignment(rotation, np.zeros(3), False, 1.0))
        assert fsc(found, copy)[:10].min() > 0.95
    assert 0 <= mask.min() and mask.max() <= 1 and found[mask > 0.7].min() > 0.1  # it went along
    assert "axes of D2 found" in capsys.readouterr().out
    with pytest.raises(CryosnakeError, match=r"turned.mrc: the map has not the symmetry C5.*correlate by"):
        change({"map": "turned.mrc"}, symmetry="C5")


def test_a_wrong_header_is_corrected_for_the_mask_too():
    write_mrc("one.mrc", read_mrc(ALL["map"])[0], 1.0)
    write_mrc("one_mask.mrc", ball(12), 1.0)
    change({"map": "one.mrc", "mask": "one_mask.mrc"}, pixel_size=PIXEL, apply_mask=False)
    for name in ("map.mrc", "mask.mrc"):
        assert read_mrc(name)[1] == pytest.approx(PIXEL)


@pytest.mark.parametrize(("inputs", "options", "message"), [
    ({}, {"flip_hand": True}, "connect a map, half_maps, or both"),
    ({"map": ALL["map"]}, {}, "nothing is to be done"),
    ({"half_maps": ALL["half_maps"], "second": ALL["map"]}, {}, "connect `map`"),
    (ALL, {"box": 20}, "given_mask.mrc: the mask, 180 Å wide, keeps density outside the 100 Å of the new box"),
    ({"map": ALL["mask"], "mask": "zero.mrc"}, {}, "zero.mrc is an empty mask"),
    ({"map": "zero.mrc"}, {"invert": True}, "zero.mrc is zero everywhere"),
    ({"map": "small.mrc", "half_maps": ALL["half_maps"]}, {"invert": True}, "small.mrc has a box of 24.*one of 36")])
def test_bad_input_is_explained(inputs, options, message):
    write_mrc("zero.mrc", np.zeros((BOX,) * 3), PIXEL)
    write_mrc("small.mrc", ball(8, 24), PIXEL)
    with pytest.raises(CryosnakeError, match=message):
        change(inputs, **options)
