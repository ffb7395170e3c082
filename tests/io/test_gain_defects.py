"""Gain references and defect lists: orientation, meaning, and what does not fit."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from cryosnake.errors import CryosnakeError
from cryosnake.io.defects import read_defects
from cryosnake.io.gain import read_gain
from cryosnake.io.mrc import write_mrc

SHAPE = (6, 8)


def gain_of(shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(1).uniform(0.5, 2, shape).astype(np.float32)


def save(path: Path, image: np.ndarray) -> Path:
    """Write an image as each format has it on disc, so that the frames' orientation is `image`."""
    if path.suffix == ".mrc":
        write_mrc(path, image, 1.0)
    else:
        tifffile.imwrite(path.with_suffix(".part.tif"), image if path.suffix == ".gain" else image[::-1],
                         photometric="minisblack")
        path.with_suffix(".part.tif").rename(path)
    return path


@pytest.mark.parametrize("name", ["g.mrc", "g.tif", "g.gain"])
def test_formats_agree(tmp_path: Path, name: str) -> None:
    got = read_gain(save(tmp_path / name, gain_of()), SHAPE)
    assert got.dtype == np.float32 and got.flags.c_contiguous
    np.testing.assert_array_equal(got, gain_of())


@pytest.mark.parametrize("rotate", range(4))
@pytest.mark.parametrize("flip", range(3))
def test_rotation_then_flip(tmp_path: Path, rotate: int, flip: int) -> None:
    """Follow one corner. Clockwise is meant as rows are drawn downwards, the way RELION shows them."""
    gain = np.ones(SHAPE, np.float32)
    gain[0, 0] = 2
    shape = SHAPE if rotate % 2 == 0 else SHAPE[::-1]
    height, width = shape
    row, column = [(0, 0), (0, width - 1), (height - 1, width - 1), (height - 1, 0)][rotate]
    row, column = (height - 1 - row if flip == 1 else row), (width - 1 - column if flip == 2 else column)
    got = read_gain(save(tmp_path / "g.mrc", gain), shape, rotate, flip)
    assert got.shape == shape and np.unravel_index(got.argmax(), shape) == (row, column)


def test_eer_gain_is_divided_by(tmp_path: Path) -> None:
    gain = gain_of()
    gain[2, 3] = 0
    for name in ("g.mrc", "g.tif"):
        got = read_gain(save(tmp_path / name, gain), SHAPE, movie="Movies/a.eer")
        good = gain != 0
        np.testing.assert_allclose(got[good] * gain[good], gain[good].mean(), rtol=1e-6)
        assert got[2, 3] == 0  # defective stays defective
        np.testing.assert_array_equal(read_gain(tmp_path / name, SHAPE, movie="Movies/a.tif"), gain)
    np.testing.assert_array_equal(read_gain(save(tmp_path / "g.gain", gain), SHAPE, movie="a.eer"), gain)


def test_eer_gain_follows_the_upsampling(tmp_path: Path) -> None:
    gain = gain_of()
    gain[2, 3] = 0
    fine = read_gain(save(tmp_path / "g.gain", gain), (12, 16), movie="a.eer")
    np.testing.assert_array_equal(fine, gain.repeat(2, 0).repeat(2, 1))
    coarse = read_gain(save(tmp_path / "h.gain", gain), (3, 4), movie="a.eer")
    np.testing.assert_allclose(coarse[0, 0], gain[:2, :2].mean(), rtol=1e-6)
    assert coarse[1, 1] == 0
    rotated = read_gain(save(tmp_path / "h.gain", gain), (16, 12), rotate=1, movie="a.eer")
    assert rotated.shape == (16, 12)
    with pytest.raises(CryosnakeError, match=r"8 x 6 .* the movie 16 x 12"):
        read_gain(tmp_path / "g.gain", (12, 16), movie="a.tif")


@pytest.mark.parametrize(("shape", "rotate", "message"), [
    ((5, 8), 0, r"g\.mrc: the gain has 8 x 6 pixels .* the movie 8 x 5.*super-resolution differ by 2"),
    ((8, 6), 0, r"8 x 6 pixels .* the movie 6 x 8\. Rotate it by 90 degrees: set gain_rotation to 1 or 3"),
    (SHAPE, 1, r"6 x 8 pixels .*after rotation 1.* set gain_rotation to 2 or 0"),
    (SHAPE, 4, "gain rotation is 4"),
])
def test_gain_that_does_not_fit(tmp_path: Path, shape: tuple[int, int], rotate: int, message: str) -> None:
    with pytest.raises(CryosnakeError, match=message):
        read_gain(save(tmp_path / "g.mrc", gain_of()), shape, rotate)


def test_gain_that_is_none(tmp_path: Path) -> None:
    bad = gain_of()
    bad[1, 1] = np.nan
    tifffile.imwrite(tmp_path / "nan.tif", bad)
    (tmp_path / "cut.tif").write_bytes((tmp_path / "nan.tif").read_bytes()[:100])
    (tmp_path / "text.tif").write_text("no picture")
    write_mrc(tmp_path / "zero.mrc", np.zeros(SHAPE), 1.0)
    write_mrc(tmp_path / "stack.mrcs", np.ones((3, *SHAPE)), 1.0, stack=True)
    for name, message in (("nan.tif", "NaN"), ("cut.tif", "corrupt"), ("text.tif", "corrupt"), ("none.tif", "cannot"),
                          ("zero.mrc", "zero everywhere"), ("stack.mrcs", r"shape \(3, 6, 8\)"), ("g.dm4", "dm2mrc")):
        with pytest.raises(CryosnakeError, match=name + ".*" + message):
            read_gain(tmp_path / name, SHAPE)
    with pytest.raises(CryosnakeError, match="gain flip 3"):
        read_gain(tmp_path / "zero.mrc", SHAPE, 0, 3)


def test_defect_list_of_rectangles(tmp_path: Path) -> None:
    path = tmp_path / "defects.txt"
    path.write_text("# x y w h\n1 2 3 1\n\n7 0 1 6  # a column\n6 5 9 9\n")
    expected = np.zeros(SHAPE, bool)
    expected[2, 1:4] = expected[:, 7] = expected[5, 6:] = True
    np.testing.assert_array_equal(read_defects(path, SHAPE), expected)


SERIALEM = """CameraSizeX 8
CameraSizeY 6
RotationAndFlip 0
K2Type 1
UsableArea 0 0 0 0
BadColumns 1
BadRows 0
BadPixels 3 2 5 4
PartialBadColumn 6 2 1 2
PartialBadRow 5 1 2 3
"""


def serialem_mask() -> np.ndarray:
    top_down = np.zeros(SHAPE, bool)
    top_down[:, 1] = top_down[0] = top_down[2, 3] = top_down[4, 5] = True
    top_down[1:3, 6:8] = top_down[5, 2:4] = True
    return top_down[::-1]


def test_defect_list_of_serialem(tmp_path: Path) -> None:
    path = tmp_path / "defects.txt"
    path.write_text(SERIALEM)
    np.testing.assert_array_equal(read_defects(path, SHAPE), serialem_mask())
    np.testing.assert_array_equal(read_defects(path, (12, 16)), serialem_mask().repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(read_defects(path, (3, 4)), serialem_mask().reshape(3, 2, 4, 2).any((1, 3)))
    path.write_text(SERIALEM.replace("UsableArea 0 0 0 0", "UsableArea 1 0 5 7"))
    expected = serialem_mask().copy()
    expected[5] = True
    np.testing.assert_array_equal(read_defects(path, SHAPE), expected)


@pytest.mark.parametrize("name", ["m.mrc", "m.tif"])
def test_defect_maps(tmp_path: Path, name: str) -> None:
    mask = np.random.default_rng(2).random(SHAPE) < 0.2
    np.testing.assert_array_equal(read_defects(save(tmp_path / name, mask.astype(np.float32)), SHAPE), mask)
    with pytest.raises(CryosnakeError, match=r"8 x 6 pixels .* the movie 9 x 6"):
        read_defects(tmp_path / name, (6, 9))


@pytest.mark.parametrize(("text", "message"), [
    ("1 2 3\n", "line 1: '1 2 3' where 4 whole numbers"), ("1 2 3 4\n1 2 a 4\n", "line 2"), ("1 -2 3 4", "≥ 0 are"),
    ("8 0 1 1\n", "outside 8 x 6"), ("CameraSizeX 8\n", "both CameraSizeX"),
    (SERIALEM + "BadPixels 1 2 3\n", "line 11: '1 2 3'"), (SERIALEM + "BadColumns 8\n", "outside 8 x 6"),
    (SERIALEM.replace("SizeX 8", "SizeX 9"), "9 x 6 pixels .* the movie has 8 x 6"),
])
def test_defect_lists_that_do_not_fit(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "defects.txt"
    path.write_text(text)
    with pytest.raises(CryosnakeError, match=r"defects\.txt.*" + message):
        read_defects(path, SHAPE)


def test_defect_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CryosnakeError, match=r"none\.txt cannot be read"):
        read_defects(tmp_path / "none.txt", SHAPE)
